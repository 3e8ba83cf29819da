package localstore

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

var noTime time.Time

// Bind binds devices to the account: each gets a binding, a random binding secret, and an errand that tells the account
// service. A device that is bound already stays as it is.
func (s *Store) Bind(id home.AccountID, ds []home.Device) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		for _, d := range ds {
			if err := put(tx.Bucket(bDevices), []byte(d.ID), d); err != nil {
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
			if err := enqueue(tx, home.Errand{Kind: home.ErrandBind, Device: d.ID, At: now()}); err != nil {
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
			key := []byte(id)
			if tx.Bucket(bBindings).Get(key) == nil {
				continue
			}
			for _, b := range [][]byte{bBindings, bIntents, bDevices} {
				if err := tx.Bucket(b).Delete(key); err != nil {
					return err
				}
			}
			if err := tx.Bucket(bVault).Delete(bindKey(id)); err != nil {
				return err
			}
			for _, k := range []home.ErrandKind{home.ErrandBind, home.ErrandSignIn} {
				if err := dequeue(tx, k, id); err != nil {
					return err
				}
			}
			if err := enqueue(tx, home.Errand{Kind: home.ErrandUnbind, Device: id, At: now()}); err != nil {
				return err
			}
			if err := record(tx, home.Event{At: now(), What: "device unbound", Device: id}); err != nil {
				return err
			}
		}
		return nil
	})
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

func binding(tx *bbolt.Tx, id home.DeviceID) (home.Binding, error) {
	b, ok, err := get[home.Binding](tx.Bucket(bBindings), []byte(id))
	if err == nil && !ok {
		err = fmt.Errorf("binding of %s: %w", id, home.ErrNotFound)
	}
	return b, err
}

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

// SaveDevices keeps where bound devices were last seen. Others are passed over.
func (s *Store) SaveDevices(ds []home.Device) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, d := range ds {
			if tx.Bucket(bBindings).Get([]byte(d.ID)) == nil {
				continue
			}
			if err := put(tx.Bucket(bDevices), []byte(d.ID), d); err != nil {
				return err
			}
		}
		return nil
	})
}

// Observe records what a probe found of a bound device, with all that follows from it. It returns the binding as it now is,
// or home.ErrNotFound. Where nothing has changed, nothing is written.
func (s *Store) Observe(id home.DeviceID, v home.Verdict, at time.Time) (home.Binding, error) {
	var was, is home.Binding
	var queued bool
	look := func(tx *bbolt.Tx) error {
		a, err := account(tx)
		if err != nil {
			return err
		}
		if was, err = binding(tx, id); err != nil {
			return err
		}
		is = observed(was, v.Against(a.Epoch), utc(at))
		queued = is.Verdict.State != home.Current || is.CloudEpoch >= a.Epoch || queuedAt(tx, home.ErrandSignIn, id) == a.Epoch
		return nil
	}
	if err := s.view(look); err != nil || (is == was && queued) {
		return is, err
	}
	err := s.update(func(tx *bbolt.Tx) error {
		if err := look(tx); err != nil { // it may have changed since
			return err
		}
		if err := put(tx.Bucket(bBindings), []byte(id), is); err != nil {
			return err
		}
		if is.Verdict.State != home.Current {
			return nil
		}
		if err := tx.Bucket(bIntents).Delete([]byte(id)); err != nil {
			return err
		}
		if !queued {
			if err := enqueue(tx, home.Errand{Kind: home.ErrandSignIn, Device: id, Epoch: is.DeviceEpoch, At: utc(at)}); err != nil {
				return err
			}
		}
		if is.DeviceEpoch != was.DeviceEpoch {
			return record(tx, home.Event{At: utc(at), What: "device holds the new password", Device: id, Epoch: is.DeviceEpoch})
		}
		return nil
	})
	return is, err
}

// observed is the binding after a probe found v.
func observed(b home.Binding, v home.Verdict, at time.Time) home.Binding {
	if !v.Same(b.Verdict) {
		b.Since = at
	}
	b.Verdict = v
	switch {
	case v.State == home.Current:
		b.DeviceEpoch, b.Tries, b.Next = v.Epoch, 0, noTime
	case v.State == home.Stale && v.Epoch != 0:
		b.DeviceEpoch = v.Epoch
	}
	return b
}

// Intend writes down that the device is about to be moved, on top of an unfinished intent where there is one.
func (s *Store) Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (i home.Intent, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		if _, err := binding(tx, id); err != nil {
			return err
		}
		old, ok, err := get[home.Intent](tx.Bucket(bIntents), []byte(id))
		switch {
		case err != nil:
			return err
		case ok:
			if i, err = old.Supersede(to, utc(at)); err != nil {
				return err
			}
		default:
			i = home.NewIntent(id, from, to, utc(at))
		}
		return put(tx.Bucket(bIntents), []byte(id), i)
	})
	return i, err
}

// Intents returns the unfinished intents.
func (s *Store) Intents() (is []home.Intent, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		is, err = all[home.Intent](tx.Bucket(bIntents))
		return err
	})
	return is, err
}

// Postpone records that a try did not bring the device to the newest epoch, and when the next may begin.
func (s *Store) Postpone(id home.DeviceID, next time.Time) error {
	return s.update(func(tx *bbolt.Tx) error {
		b, err := binding(tx, id)
		if err != nil {
			return err
		}
		b.Tries++
		b.Next = utc(next)
		return put(tx.Bucket(bBindings), []byte(id), b)
	})
}

// SignedIn records that the account has signed devices in at an epoch; message names what said so. A device that does not hold the epoch,
// or is not bound any more, stays as it is.
func (s *Store) SignedIn(id home.AccountID, e home.Epoch, ids []home.DeviceID, message string) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		for _, d := range ids {
			b, ok, err := get[home.Binding](tx.Bucket(bBindings), []byte(d))
			if err != nil {
				return err
			}
			if !ok || b.CloudEpoch >= e || b.DeviceEpoch != e {
				continue
			}
			b.CloudEpoch, b.Announced = e, true
			if err := put(tx.Bucket(bBindings), []byte(d), b); err != nil {
				return err
			}
		}
		return heard(tx, message)
	})
}
