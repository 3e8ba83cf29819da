package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// An account can have several hubs. For each device one of them has its turn; the others show the device and leave it.

// Turns takes the list of devices in an account with several hubs. Changed reports that the list is another, or that
// this hub may move its devices again. Listed devices that are here are bound: their owner bound them at another hub. A
// binding made so has no consent: that is the owner's order at one hub.
func (r *Rekeyer) Turns(held []home.Held, changed bool) {
	bound, err := r.bindListed(held)
	if err != nil {
		r.o.Log.Error("devices of another hub not bound", "err", err)
	}
	if changed || bound > 0 {
		r.AccountChanged()
		r.o.Wake()
	}
}

// bindListed binds the listed devices that were sighted here, under the names that they have in the list.
func (r *Rekeyer) bindListed(held []home.Held) (int, error) {
	h, err := r.o.Ledger.House()
	if err != nil {
		return 0, err
	}
	leftOut, bound := keySet(h.LeftOut), map[home.DeviceID]bool{}
	for _, b := range h.Bindings {
		bound[b.Device] = true
	}
	var ds []home.Device
	for _, l := range held {
		d, ok := r.listed(l)
		if !ok || bound[l.Device] || bound[d.ID] || r.o.Drivers[d.Protocol] == nil || r.isLeftOut(d, leftOut) {
			continue
		}
		d.ID = l.Device
		ds = append(ds, d)
	}
	if len(ds) == 0 {
		return 0, nil
	}
	r.o.Log.Info("devices of the account are bound", "devices", len(ds))
	return len(ds), r.o.Ledger.Bind(h.Account.ID, ds)
}

// listed returns the device of the list that was sighted here.
func (r *Rekeyer) listed(l home.Held) (home.Device, bool) {
	for _, id := range []home.DeviceID{l.Device, home.DeviceID("mac-" + l.MAC)} {
		if d, ok := r.o.Roster.Device(id); ok && r.o.Roster.Here(d.ID) {
			return d, true
		}
	}
	return home.Device{}, false
}

func (r *Rekeyer) isLeftOut(d home.Device, keys map[string]bool) bool {
	for _, k := range d.HardwareKeys() {
		if keys[k] {
			return true
		}
	}
	return false
}

// standsBy is the error of an order about a device that another hub moves.
func (r *Rekeyer) standsBy(op string, id home.DeviceID) error {
	hub := r.o.Turn(id).Hub
	if hub == "" {
		return nil
	}
	return &home.Error{
		Op: op, Device: id, Err: fmt.Errorf("%w: the hub %s moves it, this one stands by", errors.ErrUnsupported, hub),
		Hint: "give the order at the hub " + hub,
	}
}

// Acting is another hub of the account that moves devices of this house.
type Acting struct {
	Hub     string `json:"hub"`
	Devices int    `json:"devices"` // of the bound ones
}

// acting returns the other hubs that move bound devices, in the order of the rows.
func acting(rows []Row) (all []Acting) {
	for _, r := range rows {
		if !r.Bound || r.MovedBy == "" {
			continue
		}
		i := slices.IndexFunc(all, func(a Acting) bool { return a.Hub == r.MovedBy })
		if i < 0 {
			i, all = len(all), append(all, Acting{Hub: r.MovedBy})
		}
		all[i].Devices++
	}
	return all
}
