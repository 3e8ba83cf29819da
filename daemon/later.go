package daemon

import (
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// BindLater orders that devices are bound by themselves as soon as they prove a password of the account, those that are
// switched on later too; or ends that. A device that its owner unbound is left out. Claims count for nothing.
func (r *Rekeyer) BindLater(on bool) error {
	a, err := r.o.Ledger.Account()
	if err != nil {
		return &home.Error{Op: "bind", Err: err, Hint: "sign in first, with: rekeyd login EMAIL"}
	}
	if err := r.o.Ledger.BindLater(a.ID, on); err != nil || !on {
		return err
	}
	h, err := r.reload()
	if err == nil {
		r.probeUnbound(h)
	}
	return err
}

// bindLater binds a device that has just proved a password of the account, unless its owner unbound it.
func (r *Rekeyer) bindLater(d home.Device) {
	h, err := r.o.Ledger.House()
	if err != nil {
		r.o.Log.Error("ledger not read", "err", err)
		return
	}
	if slices.ContainsFunc(d.HardwareKeys(), func(k string) bool { return slices.Contains(h.LeftOut, k) }) {
		return
	}
	if err := r.BindOurs([]home.DeviceID{d.ID}); err != nil {
		r.o.Log.Warn("device not bound", "device", d.ID, "err", err)
	}
}
