package localstore

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

var noTime time.Time

// maxDetail is how much is kept of what a device said.
const maxDetail = 400

// Observe records what a probe found of a bound device, with all that follows from it. It returns the binding as it now is,
// or home.ErrNotFound. Where nothing has changed but what the device said in passing, nothing is written.
func (s *Store) Observe(id home.DeviceID, v home.Verdict, at time.Time) (home.Binding, error) {
	if !v.Until.IsZero() {
		v.Until = utc(v.Until)
	}
	if len(v.Detail) > maxDetail {
		v.Detail = strings.ToValidUTF8(v.Detail[:maxDetail], "")
	}
	at = utc(at)
	var a home.Account
	var was, is home.Binding
	var known bool
	look := func(tx *bbolt.Tx) (err error) {
		if a, err = s.account(tx); err != nil {
			return err
		}
		if was, err = binding(tx, id); err != nil {
			return err
		}
		is = confirmed(a, was.Observed(v, a.Epoch, at))
		quiet := is
		quiet.Verdict.Detail = was.Verdict.Detail
		known = quiet == was && (is.Verdict.State != home.Current || followed(tx, a, is))
		return nil
	}
	// Most probes find what is known. That takes no turn among the writers.
	if err := s.view(look); err != nil || known {
		return is, err
	}
	err := s.update(func(tx *bbolt.Tx) error {
		if err := look(tx); err != nil || known { // it may have changed since
			return err
		}
		if err := put(tx.Bucket(bBindings), []byte(id), is); err != nil {
			return err
		}
		if is.Reverts > was.Reverts {
			return record(tx, home.Event{At: at, What: "device gave the new password up", Device: id, Epoch: a.Epoch, Detail: string(v.State)})
		}
		if is.Verdict.State != home.Current {
			return nil
		}
		if err := follow(tx, a, is, at); err != nil {
			return err
		}
		if is.DeviceEpoch != was.DeviceEpoch {
			return record(tx, home.Event{At: at, What: "device holds the new password", Device: id, Epoch: is.DeviceEpoch})
		}
		return nil
	})
	return is, err
}

// confirmed is a binding of an account whose cloud confirms no sign-in to a hub: the device's own end is all that can be seen.
func confirmed(a home.Account, b home.Binding) home.Binding {
	if a.Provider == home.TPLink && b.Verdict.State == home.Current {
		b.CloudEpoch, b.Announced = b.DeviceEpoch, true
	}
	return b
}

// followed tells whether all that follows from b being current is done.
func followed(tx *bbolt.Tx, a home.Account, b home.Binding) bool {
	return tx.Bucket(bIntents).Get([]byte(b.Device)) == nil &&
		(b.CloudEpoch >= a.Epoch || queuedAt(tx, home.ErrandSignIn, b.Device) == a.Epoch)
}

// follow does what follows from b being current: its intent is forgotten and its sign-in queued.
func follow(tx *bbolt.Tx, a home.Account, b home.Binding, at time.Time) error {
	if err := tx.Bucket(bIntents).Delete([]byte(b.Device)); err != nil || followed(tx, a, b) || a.Provider == home.TPLink {
		return err
	}
	return enqueue(tx, home.Errand{Kind: home.ErrandSignIn, Device: b.Device, Epoch: b.DeviceEpoch, At: at})
}

// Intend writes down that the device is about to be moved, on top of an unfinished intent where there is one. It refuses with
// home.ErrOldEpoch to move a device to another epoch than the newest that is granted, and returns home.ErrNotFound where it is not bound.
func (s *Store) Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (i home.Intent, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		if _, err := binding(tx, id); err != nil {
			return err
		}
		a, err := account(tx)
		if err != nil {
			return err
		}
		if to < a.Epoch || to == 0 {
			return fmt.Errorf("move %s to epoch %d after %d: %w", id, to, a.Epoch, home.ErrOldEpoch)
		}
		old, ok, err := get[home.Intent](tx.Bucket(bIntents), []byte(id))
		switch {
		case err != nil:
			return err
		case ok:
			if i, err = old.Supersede(to, utc(at)); err != nil {
				return err
			}
			i.Holds = mayHold(i.Holds, from)
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

// Retry forgets what was tried in vain with bound devices, because their owner wants it tried again. A lock-out is waited out all the same.
func (s *Store) Retry(ids []home.DeviceID) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			b, ok, err := get[home.Binding](tx.Bucket(bBindings), []byte(id))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if b.Tries, b.Reverts = 0, 0; b.Verdict.State != home.LockedOut {
				b.Next = noTime
			}
			if err := put(tx.Bucket(bBindings), []byte(id), b); err != nil {
				return err
			}
		}
		return nil
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
