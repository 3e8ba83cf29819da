package localstore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Bind binds devices to the account: each gets a binding, a random binding secret, and an errand that tells the account
// service. A device that is bound already stays as it is.
func (s *Store) Bind(id home.AccountID, ds []home.Device) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		for _, d := range ds {
			if d.ID == "" {
				return errors.New("bind: a device without a name")
			}
			if err := putDevice(tx, d); err != nil {
				return err
			}
			if tx.Bucket(bBindings).Get([]byte(d.ID)) != nil {
				continue
			}
			b := home.Binding{Device: d.ID, Account: id, Since: now()}
			if err := put(tx.Bucket(bBindings), []byte(d.ID), b); err != nil {
				return err
			}
			key := bindKey(d.ID)
			if err := tx.Bucket(bVault).Put(key, s.key.Seal(random32(), "vault/"+string(key))); err != nil {
				return err
			}
			if err := dequeue(tx, home.ErrandUnbind, d.ID); err != nil {
				return err
			}
			if err := tell(tx, home.Errand{Kind: home.ErrandBind, Device: d.ID, At: now()}); err != nil {
				return err
			}
			if err := record(tx, home.Event{At: now(), What: "device bound", Device: d.ID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unbind ends bindings: nothing of them is kept but the errand that tells the account service.
func (s *Store) Unbind(ids []home.DeviceID) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if tx.Bucket(bBindings).Get([]byte(id)) == nil {
				continue
			}
			if err := forget(tx, id); err != nil {
				return err
			}
			if err := tell(tx, home.Errand{Kind: home.ErrandUnbind, Device: id, At: now()}); err != nil {
				return err
			}
			if err := record(tx, home.Event{At: now(), What: "device unbound", Device: id}); err != nil {
				return err
			}
		}
		return nil
	})
}

// forget removes a binding and all that belongs to it: device, intent, binding secret, and what was still to be told of it.
func forget(tx *bbolt.Tx, id home.DeviceID) error {
	for _, b := range [][]byte{bBindings, bIntents, bDevices} {
		if err := tx.Bucket(b).Delete([]byte(id)); err != nil {
			return err
		}
	}
	for _, k := range []home.ErrandKind{home.ErrandBind, home.ErrandSignIn} {
		if err := dequeue(tx, k, id); err != nil {
			return err
		}
	}
	return tx.Bucket(bVault).Delete(bindKey(id))
}

// Bindings returns every binding.
func (s *Store) Bindings() (bs []home.Binding, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		bs, err = all[home.Binding](tx.Bucket(bBindings))
		return err
	})
	return bs, err
}

// Binding returns the device's binding, or home.ErrNotFound.
func (s *Store) Binding(id home.DeviceID) (b home.Binding, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		b, err = binding(tx, id)
		return err
	})
	return b, err
}

// Announced records that the account service knows the bindings. Devices that are not bound are passed over.
func (s *Store) Announced(ids []home.DeviceID) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			b, ok, err := get[home.Binding](tx.Bucket(bBindings), []byte(id))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			b.Announced = true
			if err := put(tx.Bucket(bBindings), []byte(id), b); err != nil {
				return err
			}
		}
		return nil
	})
}

func binding(tx *bbolt.Tx, id home.DeviceID) (home.Binding, error) {
	b, ok, err := get[home.Binding](tx.Bucket(bBindings), []byte(id))
	if err == nil && !ok {
		err = fmt.Errorf("binding of %s: %w", id, home.ErrNotFound)
	}
	return b, err
}
