package localstore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// maxDetail bounds the recorded part of a device's own words, in bytes.
const maxDetail = 400

// observation is a binding before and after a probe.
type observation struct {
	account home.Account
	was, is home.Binding
	known   bool // nothing to write: the binding is the same, and so are its consequences
}

// Observe records the verdict of a probe of a bound device, with all its consequences, and the rank of the proof that
// came with it. It returns the binding after that, or home.ErrNotFound. A new Detail alone is not written.
func (s *Store) Observe(id home.DeviceID, v home.Verdict, rank home.ProofRank, at time.Time) (home.Binding, error) {
	if !v.Until.IsZero() {
		v.Until = utc(v.Until)
	}
	if len(v.Detail) > maxDetail {
		v.Detail = strings.ToValidUTF8(v.Detail[:maxDetail], "")
	}
	at = utc(at)
	look := func(tx *bbolt.Tx) (o observation, err error) {
		if o.account, err = s.account(tx); err != nil {
			return o, err
		}
		if o.was, err = binding(tx, id); err != nil {
			return o, err
		}
		o.is = confirmed(o.account, o.was.Observed(v, o.account.Epoch, at).Proved(v, rank))
		quiet := o.is
		quiet.Verdict.Detail = o.was.Verdict.Detail
		o.known = quiet == o.was && (o.is.Verdict.State != home.Current || finished(tx, o.account, o.is))
		return o, nil
	}
	// Most probes change nothing: they need no write transaction.
	if o, err := boltfile.View(s.file, look); err != nil || o.known {
		return o.is, err
	}
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (home.Binding, error) {
		o, err := look(tx) // it may have changed since
		if err != nil || o.known {
			return o.is, err
		}
		return o.is, o.write(tx, v, at)
	})
}

// write records the binding after a probe, with the events and the sign-in that follow from it.
func (o observation) write(tx *bbolt.Tx, v home.Verdict, at time.Time) error {
	if err := bindings.put(tx, string(o.is.Device), o.is); err != nil {
		return err
	}
	if o.is.Reverts > o.was.Reverts {
		return record(tx, home.Event{
			At: at, What: "device gave the new password up", Device: o.is.Device, Epoch: o.account.Epoch,
			Detail: string(v.State),
		})
	}
	if o.is.Verdict.State != home.Current {
		return nil
	}
	if err := finish(tx, o.account, o.is, at); err != nil || o.is.DeviceEpoch == o.was.DeviceEpoch {
		return err
	}
	return record(
		tx, home.Event{At: at, What: "device holds the new password", Device: o.is.Device, Epoch: o.is.DeviceEpoch},
	)
}

// confirmed sets the cloud's end of a binding where the cloud confirms no sign-in to a hub: only the device's end can
// be seen there.
func confirmed(a home.Account, b home.Binding) home.Binding {
	if a.Provider == home.TPLink && b.Verdict.State == home.Current {
		b.CloudEpoch = b.DeviceEpoch
	}
	return b
}

// finished reports whether finish has nothing left to do for a current binding.
func finished(tx *bbolt.Tx, a home.Account, b home.Binding) bool {
	return !intents.has(tx, string(b.Device)) &&
		(b.CloudEpoch >= a.Epoch || queuedAt(tx, home.ErrandSignIn, b.Device) == a.Epoch)
}

// finish deletes the intent of a current binding and queues its sign-in.
func finish(tx *bbolt.Tx, a home.Account, b home.Binding, at time.Time) error {
	err := errors.Join(intents.delete(tx, string(b.Device)), forgetDamage(tx, home.DamagedIntent, b.Device))
	if err != nil || finished(tx, a, b) || a.Provider == home.TPLink {
		return err
	}
	return enqueue(tx, home.Errand{Kind: home.ErrandSignIn, Device: b.Device, Epoch: b.DeviceEpoch, At: at})
}

// Intend writes down that the device is about to be moved, on top of an unfinished intent where there is one. A
// target older than the newest granted epoch is home.ErrOldEpoch, and a device without a binding home.ErrNotFound.
func (s *Store) Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (home.Intent, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (i home.Intent, err error) {
		if !bindings.has(tx, string(id)) {
			return i, notBound(id)
		}
		a, err := account(tx)
		if err != nil {
			return i, err
		}
		if to < a.Epoch || to == 0 {
			return i, fmt.Errorf("move %s to epoch %d after %d: %w", id, to, a.Epoch, home.ErrOldEpoch)
		}
		i, under, err := intents.get(tx, string(id))
		if err != nil {
			return i, err
		}
		if !under {
			i = home.NewIntent(id, from, to, utc(at))
		} else if i, err = i.Supersede(to, utc(at)); err != nil {
			return i, err
		}
		i = i.Holding(from)
		return i, intents.put(tx, string(id), i)
	})
}

// Intents returns the unfinished intents.
func (s *Store) Intents() ([]home.Intent, error) { return boltfile.View(s.file, intents.all) }

// Postpone records that a try did not bring the device to the newest epoch, and when the next one may begin.
func (s *Store) Postpone(id home.DeviceID, next time.Time) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		b, err := binding(tx, id)
		if err != nil {
			return err
		}
		b.Tries++
		b.Next = utc(next)
		return bindings.put(tx, string(id), b)
	})
}

// Retry resets the tries, the pauses, the lock-outs and the refused credentials of bound devices, on their owner's
// order. A device that is still locked reports it again; the budget of sign-ins stays. Where the order names the
// devices, one that refused many sign-ins in a row is sent another.
func (s *Store) Retry(ids []home.DeviceID, named bool) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if err := given(tx); err != nil {
			return err
		}
		for _, id := range ids {
			b, err := binding(tx, id)
			if errors.Is(err, home.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			b.Tries, b.Reverts, b.Next, b.Locked = 0, 0, time.Time{}, time.Time{}
			if err := errors.Join(bindings.put(tx, string(id), b), s.retrySignIns(tx, id)); err != nil {
				return err
			}
			if named {
				if err := endRun(tx, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// SignedIn records that the account has signed devices in at an epoch, and ends their sign-in errands up to that epoch.
// A device that does not hold the epoch, or is not bound any more, is skipped.
func (s *Store) SignedIn(id home.AccountID, e home.Epoch, ids []home.DeviceID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		for _, d := range ids {
			// No sign-in of a later epoch than the account's is ever queued, so most errands need not be read.
			if a.Epoch <= e || queuedAt(tx, home.ErrandSignIn, d) <= e {
				if err := dequeue(tx, home.ErrandSignIn, d); err != nil {
					return err
				}
			}
			b, ok, err := bindings.get(tx, string(d))
			if err != nil {
				return err
			}
			if !ok || b.CloudEpoch >= e || b.DeviceEpoch != e {
				continue
			}
			b.CloudEpoch = e
			if err := bindings.put(tx, string(d), b); err != nil {
				return err
			}
		}
		return nil
	})
}
