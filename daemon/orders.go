package daemon

import (
	"cmp"
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

// Rekey has devices looked at now, whatever pause they are in and however often they went back; all that are not current where ids is empty.
// With restart, what cannot be moved is restarted where its protocol can do that: some devices have the newest password then, from their
// own cloud.
func (r *Rekeyer) Rekey(ids []home.DeviceID, restart bool) error {
	ids, err := r.toRekey(ids)
	if err != nil {
		return err
	}
	if err := r.o.Ledger.Retry(ids); err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	r.mu.Lock()
	for _, id := range ids {
		if w := r.rows[id]; w != nil { // else renamed meanwhile
			w.restart, w.unrecorded = restart, 0
			r.schedule(id, time.Now())
		}
	}
	r.mu.Unlock()
	return nil
}

// Remember takes earlier passwords of the account that its owner remembers, and has every device asked for them that holds none of those
// that were known. email is how the address was spelled then; as it is registered where empty. It returns how many are new.
func (r *Rekeyer) Remember(email string, passwords []home.Secret) (added int, err error) {
	a, err := r.o.Ledger.Account()
	if err != nil {
		return 0, &home.Error{Op: "remember a password", Err: err, Hint: "sign in first, with: rekeyd login EMAIL"}
	}
	cs := make([]home.Credential, 0, len(passwords))
	for _, p := range passwords {
		if p.IsZero() {
			return 0, &home.Error{Op: "remember a password", Err: errors.New("it is empty")}
		}
		cs = append(cs, home.Credential{Username: cmp.Or(email, a.Email), Password: p})
	}
	if added, err = r.o.Ledger.Remember(a.ID, cs); err != nil {
		return 0, err
	}
	if err := r.load(); err != nil {
		return added, err
	}
	r.lookAgain()
	return added, nil
}

// lookAgain has devices looked at that are here and not bound; those that are bound load has seen to.
func (r *Rekeyer) lookAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, w := range r.rows {
		if !w.bound && r.o.Drivers[w.device.Protocol] != nil && w.left.IsZero() {
			r.schedule(id, time.Now())
		}
	}
}

// AllowCleartextBind takes the owner's word whether passwords may go nearly in the clear, to devices that know no better.
func (r *Rekeyer) AllowCleartextBind(allow bool) error {
	if err := r.o.Ledger.AllowCleartextBind(allow); err != nil {
		if errors.Is(err, home.ErrNoAccount) {
			err = &home.Error{Op: "allow passwords in the clear", Err: err, Hint: "sign in first, with: rekeyd login EMAIL"}
		}
		return err
	}
	if err := r.Rekey(nil, false); err != nil { // which reads the ledger anew
		return err
	}
	r.lookAgain()
	return nil
}

// toRekey returns the devices that an order to rekey means.
func (r *Rekeyer) toRekey(ids []home.DeviceID) ([]home.DeviceID, error) {
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
			return nil, &home.Error{Op: "rekey", Device: id, Err: home.ErrNotFound, Hint: "bind it first, with: rekeyd bind " + string(id)}
		}
	}
	return ids, nil
}
