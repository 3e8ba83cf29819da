package localstore

import (
	"fmt"
	"reflect"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Devices returns every bound device as it was when it was last saved.
func (s *Store) Devices() ([]home.Device, error) { return boltfile.View(s.file, devices.all) }

// Bound returns those of the devices that are bound.
func (s *Store) Bound(ids []home.DeviceID) ([]home.Device, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (ds []home.Device, err error) {
		for _, id := range ids {
			d, ok, err := devices.get(tx, string(id))
			if err != nil {
				return nil, err
			}
			if ok {
				ds = append(ds, d)
			}
		}
		return ds, nil
	})
}

// SaveDevices records where bound devices were last seen. It skips other devices, and those of which only the time is new.
func (s *Store) SaveDevices(ds []home.Device) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, d := range ds {
			if !bindings.has(tx, string(d.ID)) {
				continue
			}
			if err := putDevice(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// putDevice records a device, unless only the time of its sighting is new: that is written with other changes.
func putDevice(tx *bbolt.Tx, d home.Device) error {
	d.Seen = utc(d.Seen)
	old, ok, err := devices.get(tx, string(d.ID))
	if err != nil {
		return err
	}
	if ok {
		same := d
		same.Seen = old.Seen
		if reflect.DeepEqual(deviceToDisk(same), deviceToDisk(old)) {
			return nil
		}
	}
	return devices.put(tx, string(d.ID), d)
}

// RenameDevice moves all that is known of a bound device to a new name, because a stronger identity of it was seen. The account service knows
// devices by name: the old one is ended there, and the new one announced and signed in. Where the new name is bound already, both
// were one device: what it may hold is kept together. It returns home.ErrNotFound where the old name is not bound.
func (s *Store) RenameDevice(from, to home.DeviceID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		b, err := binding(tx, from)
		if err != nil || from == to {
			return err
		}
		if to == "" {
			return fmt.Errorf("rename %s: a device without a name", from)
		}
		intent, under, err := intents.get(tx, string(from))
		if err != nil {
			return err
		}
		d, _, err := devices.get(tx, string(from))
		if err != nil {
			return err
		}
		var secret []byte
		key := bindKey(from)
		if secret, err = s.key.Open(tx.Bucket(bVault).Get(key), "vault/"+string(key)); err != nil {
			return err
		}
		if err := forget(tx, from); err != nil {
			return err
		}
		if err := announce(tx, home.Errand{Kind: home.ErrandUnbind, Device: from, At: now()}); err != nil {
			return err
		}
		if !bindings.has(tx, string(to)) {
			b.Device, b.CloudEpoch, d.ID = to, 0, to
			if err := s.settle(tx, b, d, secret); err != nil {
				return err
			}
		}
		if err := moveBudget(tx, from, to); err != nil {
			return err
		}
		if under {
			if err := mergeIntent(tx, to, intent); err != nil {
				return err
			}
		}
		return record(tx, home.Event{At: now(), What: "device renamed", Device: to, Detail: "it was " + string(from)})
	})
}

// settle writes a binding under a name that had none, with what the account service has to be told.
func (s *Store) settle(tx *bbolt.Tx, b home.Binding, d home.Device, secret []byte) error {
	if err := bindings.put(tx, string(b.Device), b); err != nil {
		return err
	}
	if err := putDevice(tx, d); err != nil {
		return err
	}
	key := bindKey(b.Device)
	if err := tx.Bucket(bVault).Put(key, s.key.Seal(secret, "vault/"+string(key))); err != nil {
		return err
	}
	if err := dequeue(tx, home.ErrandUnbind, b.Device); err != nil {
		return err
	}
	if err := announce(tx, home.Errand{Kind: home.ErrandBind, Device: b.Device, At: now()}); err != nil {
		return err
	}
	if b.Verdict.State != home.Current {
		return nil
	}
	return announce(tx, home.Errand{Kind: home.ErrandSignIn, Device: b.Device, Epoch: b.DeviceEpoch, At: now()})
}

// mergeIntent adds to the device's unfinished intent, where there is one, what another says that it may hold.
func mergeIntent(tx *bbolt.Tx, id home.DeviceID, add home.Intent) error {
	i, ok, err := intents.get(tx, string(id))
	if err != nil {
		return err
	}
	if !ok || i.To < add.To {
		i.To, i.At = add.To, add.At
	}
	i.Device = id
	for _, e := range add.Holds {
		i = i.Holding(e)
	}
	return intents.put(tx, string(id), i)
}
