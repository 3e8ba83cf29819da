package localstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Devices returns every bound device as it was last written.
func (s *Store) Devices() (ds []home.Device, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		ds, err = all[home.Device](tx.Bucket(bDevices))
		return err
	})
	return ds, err
}

// Bound returns those of the devices that are bound.
func (s *Store) Bound(ids []home.DeviceID) (ds []home.Device, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		ds = nil
		for _, id := range ids {
			d, ok, err := get[home.Device](tx.Bucket(bDevices), []byte(id))
			if err != nil {
				return err
			}
			if ok {
				ds = append(ds, d)
			}
		}
		return nil
	})
	return ds, err
}

// SaveDevices keeps where bound devices were last seen. Others are passed over, and so are those of which only the time is new.
func (s *Store) SaveDevices(ds []home.Device) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, d := range ds {
			if tx.Bucket(bBindings).Get([]byte(d.ID)) == nil {
				continue
			}
			if err := putDevice(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// putDevice keeps a device, unless only the time at which it was seen is new: that is written with other changes.
func putDevice(tx *bbolt.Tx, d home.Device) error {
	d.Seen = utc(d.Seen)
	old, ok, err := get[home.Device](tx.Bucket(bDevices), []byte(d.ID))
	if err != nil {
		return err
	}
	if ok {
		same := d
		same.Seen = old.Seen
		raw, err := json.Marshal(same)
		if err != nil || bytes.Equal(raw, tx.Bucket(bDevices).Get([]byte(d.ID))) {
			return err
		}
	}
	return put(tx.Bucket(bDevices), []byte(d.ID), d)
}

// RenameDevice moves all that is known of a bound device to a new name, because a stronger identity of it was seen. The account service knows
// devices by name: the old one is ended there, and the new one announced and signed in. Where the new name is bound already, both
// were one device: what it may hold is kept together. It returns home.ErrNotFound where the old name is not bound.
func (s *Store) RenameDevice(from, to home.DeviceID) error {
	return s.update(func(tx *bbolt.Tx) error {
		b, err := binding(tx, from)
		if err != nil || from == to {
			return err
		}
		if to == "" {
			return fmt.Errorf("rename %s: a device without a name", from)
		}
		intent, under, err := get[home.Intent](tx.Bucket(bIntents), []byte(from))
		if err != nil {
			return err
		}
		d, _, err := get[home.Device](tx.Bucket(bDevices), []byte(from))
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
		if err := tell(tx, home.Errand{Kind: home.ErrandUnbind, Device: from, At: now()}); err != nil {
			return err
		}
		if tx.Bucket(bBindings).Get([]byte(to)) == nil {
			b.Device, b.CloudEpoch, b.Announced, d.ID = to, 0, false, to
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
	if err := put(tx.Bucket(bBindings), []byte(b.Device), b); err != nil {
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
	if err := tell(tx, home.Errand{Kind: home.ErrandBind, Device: b.Device, At: now()}); err != nil {
		return err
	}
	if b.Verdict.State != home.Current {
		return nil
	}
	return tell(tx, home.Errand{Kind: home.ErrandSignIn, Device: b.Device, Epoch: b.DeviceEpoch, At: now()})
}

// mergeIntent adds to the device's unfinished intent, where there is one, what another says that it may hold.
func mergeIntent(tx *bbolt.Tx, id home.DeviceID, add home.Intent) error {
	i, ok, err := get[home.Intent](tx.Bucket(bIntents), []byte(id))
	if err != nil {
		return err
	}
	if !ok || i.To < add.To {
		i.To, i.At = add.To, add.At
	}
	i.Device = id
	for _, e := range add.Holds {
		i.Holds = mayHold(i.Holds, e)
	}
	return put(tx.Bucket(bIntents), []byte(id), i)
}

// mayHold returns es, ascending and without doubles, with e in it.
func mayHold(es []home.Epoch, e home.Epoch) []home.Epoch {
	at, found := slices.BinarySearch(es, e)
	if found || e == 0 {
		return es
	}
	return slices.Insert(slices.Clone(es), at, e)
}
