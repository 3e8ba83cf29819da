package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The orders of an owner.

// Bind binds devices that their owner named, each of them: one that is factory-fresh may receive the password for the
// next 24 hours. Binding itself sends nothing secret. Unknown devices are home.ErrNotFound.
func (r *Rekeyer) Bind(ids []home.DeviceID) error {
	var again []home.DeviceID
	for _, id := range ids {
		if _, err := r.o.Ledger.Binding(id); err == nil {
			again = append(again, id)
		}
	}
	wasBound := slices.Clone(again)
	if err := r.BindOurs(ids); err != nil {
		return err
	}
	for _, id := range ids {
		v := home.Verdict{}
		r.with(id, func(m *memory) { v = m.verdict })
		if (v.State == home.Current || v.HoldsOlder()) && !slices.Contains(wasBound, id) {
			continue // it proves its credential; one that was bound may have been reset since
		}
		if d, ok := r.o.Roster.Device(id); ok && d.Protocol == home.Native {
			continue // it is known by its keys: see home.Binding.Terms
		}
		if err := r.allowFresh(id); err != nil {
			return err
		}
		again = append(again, id) // a probe may have begun before the consent was on disk
	}
	if len(again) == 0 {
		return nil // the change of the house has scheduled them
	}
	return r.restartTries(again, true, false)
}

// BindOurs binds devices without the factory-fresh consent: those that hold a credential of the account are moved.
func (r *Rekeyer) BindOurs(ids []home.DeviceID) error {
	a, err := r.o.Ledger.Account()
	if err != nil {
		return &home.Error{Op: "bind", Err: err, Hint: "sign in first, with: rekeyd login EMAIL"}
	}
	var ds []home.Device
	for _, id := range ids {
		d, ok := r.o.Roster.Device(id)
		if !ok {
			return notFound("bind", id)
		}
		if r.o.Drivers[d.Protocol] == nil {
			return &home.Error{
				Op: "bind", Device: id, Err: errors.New("rekeyd does not speak its protocol"),
				Hint: "change its password in its own app",
			}
		}
		foreign := false
		r.with(d.ID, func(m *memory) { foreign = m.match == home.Foreign })
		if foreign {
			return &home.Error{
				Op:     "bind",
				Device: id,
				Err:    home.ErrForeign,
				Hint:   "remove it from the other account in its own app first",
			}
		}
		ds = append(ds, d)
	}
	var added []home.Device
	for _, d := range ds {
		if _, err := r.o.Ledger.Binding(d.ID); errors.Is(err, home.ErrNotFound) {
			added = append(added, d)
		}
	}
	if err := r.o.Ledger.Bind(a.ID, ds); err != nil {
		return err
	}
	for _, d := range added {
		r.o.Log.Info("device bound", "device", d.ID, "name", r.nameOf(d), "kind", d.Kind)
	}
	r.o.Wake()
	_, err = r.reload()
	r.reports.add(ids...)
	return err
}

// notFound is the error of an order for an unknown device.
func notFound(op string, id home.DeviceID) error {
	return &home.Error{
		Op:     op,
		Device: id,
		Err:    home.ErrNotFound,
		Hint:   "see which devices were found with: rekeyd devices",
	}
}

// bound returns home.ErrNotFound with this hint where one of the devices is not bound.
func (r *Rekeyer) bound(op, hint string, ids []home.DeviceID) error {
	for _, id := range ids {
		switch _, err := r.o.Ledger.Binding(id); {
		case errors.Is(err, home.ErrNotFound):
			return &home.Error{Op: op, Device: id, Err: home.ErrNotFound, Hint: hint}
		case err != nil:
			return err
		}
	}
	return nil
}

// Unbind has the account forget devices. They keep the credential that they hold, and are left out until they are
// bound again.
func (r *Rekeyer) Unbind(ids []home.DeviceID) error {
	if err := r.bound("unbind", "see which devices are bound with: rekeyd status", ids); err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.standsBy("unbind", id); err != nil {
			return err
		}
	}
	if err := r.o.Ledger.Unbind(ids); err != nil {
		return err
	}
	r.o.Wake()
	if _, err := r.reload(); err != nil {
		return err
	}
	r.mu.Lock()
	for _, id := range ids {
		r.schedule(id, time.Now())
		// A device that is not bound has the name of its strongest key.
		if d, ok := r.o.Roster.Device(id); ok && d.ID != id {
			m, old := r.remember(d.ID), r.memories[id]
			m.addr = d.Addr.Addr()
			if old != nil {
				m.match, m.verdict, m.since, m.identity, m.left = old.match, old.verdict, old.since, old.identity, old.left
			}
			r.schedule(d.ID, time.Now())
			r.reports.add(d.ID)
		}
	}
	r.mu.Unlock()
	r.reports.add(ids...)
	return nil
}

// Rekey probes devices now, all that are not current where ids is empty, and moves those that can be moved. Pauses
// and the count of reverts begin anew. With restart, a device that cannot be moved is restarted where its protocol
// can do that: some devices fetch the newest password from their own cloud then. An order that names a device also
// allows it to be moved where somebody else may know what it holds.
func (r *Rekeyer) Rekey(ids []home.DeviceID, restart bool) error {
	named := len(ids) > 0
	if !named {
		h, err := r.o.Ledger.House()
		if err != nil {
			return err
		}
		for _, b := range h.Bindings {
			if !b.Current(h.Account.Epoch) {
				ids = append(ids, b.Device)
			}
		}
	}
	for _, id := range ids {
		if err := r.bound("rekey", "bind it first, with: rekeyd bind "+string(id), []home.DeviceID{id}); err != nil {
			return err
		}
		if named {
			if err := r.standsBy("rekey", id); err != nil {
				return err
			}
		}
	}
	if named {
		a, err := r.o.Ledger.Account()
		if err != nil {
			return err
		}
		if err := r.allowExposed(a, ids); err != nil {
			return err
		}
	}
	return r.restartTries(ids, named, restart)
}

// restartTries schedules jobs for bound devices now, with the counts and pauses of a new order.
func (r *Rekeyer) restartTries(ids []home.DeviceID, named, restart bool) error {
	if err := r.o.Ledger.Retry(ids, named); err != nil {
		return err
	}
	now := time.Now()
	for _, id := range ids {
		r.with(id, func(m *memory) {
			m.restart, m.unrecorded = restart, 0
			r.schedule(id, now)
		})
	}
	return nil
}

// Remember adds earlier passwords of the account to the vault, and probes every device that holds no known one. email
// is the spelling of the address at that time; empty for the registered one. It returns how many passwords were new.
func (r *Rekeyer) Remember(email string, passwords []home.Secret) (added int, err error) {
	const op = "remember a password"
	a, err := r.o.Ledger.Account()
	if err != nil {
		return 0, &home.Error{Op: op, Err: err, Hint: "sign in first, with: rekeyd login EMAIL"}
	}
	for i, p := range passwords {
		if err := home.CheckPassword(p); err != nil {
			return 0, &home.Error{Op: op, Err: fmt.Errorf("password %d: %w", i+1, err)}
		}
	}
	cs := make([]home.Credential, 0, len(passwords))
	for _, p := range passwords {
		cs = append(cs, home.Credential{Username: cmp.Or(email, a.Email), Password: p})
	}
	if added, err = r.o.Ledger.Remember(a.ID, cs); err != nil {
		return 0, err
	}
	h, err := r.reload()
	if err != nil {
		return added, err
	}
	r.probeUnbound(h)
	return added, nil
}
