package localstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Bind binds devices to the account: each gets a binding, a random binding secret, and an errand to the account
// service. A device that is bound already keeps all three. A bound device is not left out any more.
func (s *Store) Bind(id home.AccountID, ds []home.Device) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		for _, d := range ds {
			if err := s.bind(tx, id, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// bind makes the binding of a device with its binding secret. A device that is bound keeps both.
func (s *Store) bind(tx *bbolt.Tx, id home.AccountID, d home.Device) error {
	if d.ID == "" {
		return errors.New("bind: a device without an ID")
	}
	err := errors.Join(putDevice(tx, d), setLeftOut(tx, d, false), forgetDamage(tx, home.DamagedDevice, d.ID))
	if err != nil || bindings.has(tx, string(d.ID)) {
		return err
	}
	key := bindKey(d.ID)
	return errors.Join(
		bindings.put(tx, string(d.ID), home.Binding{Device: d.ID, Account: id, Since: now()}),
		tx.Bucket(bVault).Put(key, s.key.Seal(random32(), "vault/"+string(key))),
		dequeue(tx, home.ErrandUnbind, d.ID),
		announce(tx, home.Errand{Kind: home.ErrandBind, Device: d.ID, At: now()}),
		record(tx, home.Event{At: now(), What: "device bound", Device: d.ID}),
	)
}

// Unbind ends bindings. Of each device the store keeps the errand to the account service, and that its owner left it
// out. Devices that are not bound are skipped; damaged records of them are deleted.
func (s *Store) Unbind(ids []home.DeviceID) error { return s.endBindings(ids, true) }

// Forget is Unbind of devices that are gone: they are not left out, and found anew should they come back.
func (s *Store) Forget(ids []home.DeviceID) error { return s.endBindings(ids, false) }

// endBindings ends bindings, and records the devices as left out or not.
func (s *Store) endBindings(ids []home.DeviceID, out bool) error {
	what := "device unbound"
	if !out {
		what = "device forgotten"
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if !bindings.has(tx, string(id)) {
				if err := forgetDamage(tx, home.DamagedDevice, id); err != nil {
					return err
				}
				continue
			}
			d, _, err := devices.get(tx, string(id))
			err = errors.Join(
				err, forget(tx, id), setLeftOut(tx, d, out),
				announce(tx, home.Errand{Kind: home.ErrandUnbind, Device: id, At: now()}),
				record(tx, home.Event{At: now(), What: what, Device: id}),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// forget removes a binding with its device, intent, binding secret and waiting errands.
func forget(tx *bbolt.Tx, id home.DeviceID) error {
	return errors.Join(
		bindings.delete(tx, string(id)),
		intents.delete(tx, string(id)),
		devices.delete(tx, string(id)),
		tx.Bucket(bVault).Delete(bindKey(id)),
		tx.Bucket(bVault).Delete(signInsKey(id)),
		tx.Bucket(bVault).Delete(devicePasswordKey(id)),
		dequeue(tx, home.ErrandBind, id),
		dequeue(tx, home.ErrandSignIn, id),
	)
}

// Rename records the name that the owner gives a bound device, empty for its own; home.ErrNotFound for one that is not
// bound.
func (s *Store) Rename(id home.DeviceID, name string) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		b, ok, err := bindings.get(tx, string(id))
		if err == nil && !ok {
			err = home.ErrNotFound
		}
		if err != nil || b.Name == name {
			return err
		}
		b.Name = name
		return bindings.put(tx, string(id), b)
	})
}

// setLeftOut records under each of the device's hardware keys whether its owner has left it out.
func setLeftOut(tx *bbolt.Tx, d home.Device, out bool) error {
	b := tx.Bucket(bLeftOut)
	for _, key := range d.HardwareKeys() {
		err := b.Delete([]byte(key))
		if out {
			err = boltfile.Put(b, []byte(key), leftOutRecord{now()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Consent records what the owner allows for bound devices. Devices that are not bound are skipped.
func (s *Store) Consent(consents map[home.DeviceID]home.Consents) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for id, c := range consents {
			b, ok, err := bindings.get(tx, string(id))
			if err != nil {
				return err
			}
			if !ok || b.Consents == c {
				continue
			}
			b.Consents = c
			if err := bindings.put(tx, string(id), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// LeftOut returns the hardware keys of the devices that the owner unbound and did not bind again.
func (s *Store) LeftOut() ([]string, error) { return boltfile.View(s.file, leftOut) }

// leftOut returns the hardware keys of the devices that the owner unbound.
func leftOut(tx *bbolt.Tx) (keys []string, err error) {
	b := tx.Bucket(bLeftOut)
	if b == nil {
		return nil, nil // an older format, opened for reading
	}
	err = b.ForEach(func(k, _ []byte) error { keys = append(keys, string(k)); return nil })
	return keys, err
}

// Bindings returns every binding.
func (s *Store) Bindings() ([]home.Binding, error) { return boltfile.View(s.file, bindings.all) }

// Binding returns the device's binding, or home.ErrNotFound.
func (s *Store) Binding(id home.DeviceID) (home.Binding, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (home.Binding, error) { return binding(tx, id) })
}

// binding returns the binding of a device, home.ErrNotFound where it is not bound.
func binding(tx *bbolt.Tx, id home.DeviceID) (home.Binding, error) {
	b, ok, err := bindings.get(tx, string(id))
	if err == nil && !ok {
		err = notBound(id)
	}
	return b, err
}
