package daemon

import (
	"errors"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What an owner can order.

// Bind binds devices to the account; whatever is not current is moved. Unknown devices are home.ErrNotFound.
func (r *Rekeyer) Bind(ids []home.DeviceID) error {
	a, err := r.o.Ledger.Account()
	if err != nil {
		return &home.Error{Op: "bind", Err: err, Hint: "sign in first, with: rekeyd login"}
	}
	var ds []home.Device
	for _, id := range ids {
		d, ok := r.o.Roster.Device(id)
		if !ok {
			return &home.Error{Op: "bind", Device: id, Err: home.ErrNotFound, Hint: "see which devices were found with: rekeyd devices"}
		}
		if r.o.Drivers[d.Protocol] == nil {
			return &home.Error{
				Op: "bind", Device: id, Err: errors.New("rekeyd does not speak its protocol"),
				Hint: "change its password in its own app",
			}
		}
		r.mu.Lock()
		foreign := r.row(d.ID).match == home.Foreign
		r.mu.Unlock()
		if foreign {
			return &home.Error{Op: "bind", Device: id, Err: home.ErrForeign, Hint: "remove it from the other account in its own app first"}
		}
		ds = append(ds, d)
	}
	if err := r.o.Ledger.Bind(a.ID, ds); err != nil {
		return err
	}
	r.o.Wake()
	if err := r.load(); err != nil {
		return err
	}
	r.tell(ids)
	return nil
}

// Unbind has the account forget devices. They keep what they hold.
func (r *Rekeyer) Unbind(ids []home.DeviceID) error {
	r.mu.Lock()
	for _, id := range ids {
		if w := r.rows[id]; w == nil || !w.bound {
			r.mu.Unlock()
			return &home.Error{Op: "unbind", Device: id, Err: home.ErrNotFound, Hint: "see which devices are bound with: rekeyd status"}
		}
	}
	r.mu.Unlock()
	if err := r.o.Ledger.Unbind(ids); err != nil {
		return err
	}
	r.o.Wake()
	if err := r.load(); err != nil {
		return err
	}
	r.tell(ids)
	return nil
}

// Rekey has devices looked at now, whatever pause they are in; all that are not current where ids is empty.
func (r *Rekeyer) Rekey(ids []home.DeviceID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ids) == 0 {
		for id, w := range r.rows {
			if w.bound && !w.binding.Current(r.account.Epoch) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
	}
	for _, id := range ids {
		if w := r.rows[id]; w == nil || !w.bound {
			return &home.Error{Op: "rekey", Device: id, Err: home.ErrNotFound, Hint: "bind it first, with: rekeyd bind " + string(id)}
		}
	}
	for _, id := range ids {
		r.schedule(id, time.Now())
	}
	return nil
}
