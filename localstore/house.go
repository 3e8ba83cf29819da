package localstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// House returns the account with all bindings, devices and intents. A hub without an account has none of them.
func (s *Store) House() (home.House, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (h home.House, err error) {
		if h.Account, err = s.account(tx); err != nil && !errors.Is(err, home.ErrNoAccount) {
			return h, err
		}
		var errs [4]error
		h.Bindings, errs[0] = bindings.all(tx)
		h.Devices, errs[1] = devices.all(tx)
		h.Intents, errs[2] = intents.all(tx)
		h.LeftOut, errs[3] = leftOut(tx)
		return h, errors.Join(errs[:]...)
	})
}

// Subject returns the account, its credentials in the order for this device, and the device's binding where it has one.
func (s *Store) Subject(id home.DeviceID) (home.Subject, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (sub home.Subject, err error) {
		sub.Account, err = s.account(tx)
		if errors.Is(err, home.ErrNoAccount) {
			return sub, nil
		}
		if err != nil {
			return sub, err
		}
		if sub.Binding, _, err = bindings.get(tx, string(id)); err != nil {
			return sub, err
		}
		if sub.Credentials, err = s.credentials(tx, sub.Account.ID); err != nil {
			return sub, err
		}
		if sub.DevicePassword, err = s.devicePassword(tx, id); err != nil {
			return sub, err
		}
		if sub.Accepted, err = s.accepted(tx, sub.Account); err != nil {
			return sub, err
		}
		i, under, err := intents.get(tx, string(id))
		if under {
			sub.Credentials = i.Order(sub.Credentials)
		}
		return sub, err
	})
}
