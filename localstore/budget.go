package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// A device may be sent so many sign-ins that can be wrong in an hour, and so many in a day: cameras lock their owner
// out after ten (devices/PROTOCOLS.md, section 2.3), and for how long wrong ones count is not known.
const (
	budgetHour = 3
	budgetDay  = 6
)

// Spend counts one sign-in whose password only the device can judge. It returns a home.WaitError, and the sign-in must
// not be sent, when the device had as many as it may have in an hour or a day, or is locked. The count is on disk
// before Spend returns.
func (s *Store) Spend(id home.DeviceID) error {
	until, err := boltfile.Update(s.file, func(tx *bbolt.Tx) (until time.Time, err error) {
		b, _, err := bindings.get(tx, string(id))
		if err != nil {
			return until, err
		}
		if now().Before(b.Locked) {
			return until, home.WaitError{Until: b.Locked, Reason: "the device is locked"}
		}
		spent, err := spent(tx, id)
		if err != nil {
			return until, err
		}
		if until = budgetEnd(spent); until.IsZero() {
			spent = append(spent, now())
		}
		return until, errors.Join(sweepBudget(tx), boltfile.Put(tx.Bucket(bBudget), []byte(id), spent))
	})
	if err == nil && !until.IsZero() {
		reason := fmt.Sprintf("it was sent %d sign-ins in an hour, or %d in a day", budgetHour, budgetDay)
		err = home.WaitError{Until: until, Reason: reason}
	}
	return err
}

// budgetEnd returns until when a device that was sent sign-ins at these times, in order, is sent no other; zero where
// one may be sent now.
func budgetEnd(spent []time.Time) (until time.Time) {
	if n := len(spent) - budgetHour; n >= 0 {
		until = spent[n].Add(time.Hour)
	}
	if n := len(spent) - budgetDay; n >= 0 && spent[n].Add(24*time.Hour).After(until) {
		until = spent[n].Add(24 * time.Hour)
	}
	if !until.After(now()) {
		return time.Time{}
	}
	return until
}

// Good returns the last sign-in to the budget: the device accepted it.
func (s *Store) Good(id home.DeviceID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		spent, err := spent(tx, id)
		if err != nil {
			return err
		}
		if len(spent) < 2 {
			return tx.Bucket(bBudget).Delete([]byte(id))
		}
		return boltfile.Put(tx.Bucket(bBudget), []byte(id), spent[:len(spent)-1])
	})
}

// spent returns the times of the sign-ins that still count. A time in the future, from before the clock was set back,
// counts as now.
func spent(tx *bbolt.Tx, id home.DeviceID) ([]time.Time, error) {
	all, _, err := boltfile.Get[[]time.Time](tx.Bucket(bBudget), []byte(id))
	var kept []time.Time
	for _, at := range all {
		if at.After(now()) {
			at = now()
		}
		if now().Sub(at) < 24*time.Hour {
			kept = append(kept, at)
		}
	}
	return kept, err
}

// manyBudgets is how many devices are counted before those whose day has passed are forgotten.
const manyBudgets = 256

// sweepBudget deletes the counts of devices whose sign-ins are older than a day, once there are many.
func sweepBudget(tx *bbolt.Tx) error {
	b := tx.Bucket(bBudget)
	if b.Stats().KeyN < manyBudgets {
		return nil
	}
	var over [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		left, err := spent(tx, home.DeviceID(k))
		if len(left) == 0 {
			over = append(over, bytes.Clone(k))
		}
		return err
	})
	for _, k := range over {
		if err == nil {
			err = b.Delete(k)
		}
	}
	return err
}
