package localstore

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// A device may be sent so many sign-ins that can be wrong in an hour, and so many in a day: cameras lock their owner out after ten
// (devices/PROTOCOLS.md, section 2.3), and for how long wrong ones count is not known.
const (
	budgetHour = 3
	budgetDay  = 6
)

// Spend counts one sign-in that only the device can say is right. It returns home.ErrBudget, and then none may be sent, when the device
// has had as many as it may have in an hour or a day, or is locked. It is on disk before Spend returns.
func (s *Store) Spend(id home.DeviceID) error {
	full := false
	err := s.update(func(tx *bbolt.Tx) error {
		b, bound, err := get[home.Binding](tx.Bucket(bBindings), []byte(id))
		if err != nil {
			return err
		}
		if bound && now().Before(b.Locked) {
			return fmt.Errorf("%s is locked: %w", id, home.ErrBudget)
		}
		spent, err := spent(tx, id)
		if err != nil {
			return err
		}
		lately := 0
		for _, at := range spent {
			if now().Sub(at) < time.Hour {
				lately++
			}
		}
		if full = lately >= budgetHour || len(spent) >= budgetDay; !full {
			spent = append(spent, now())
		}
		if err := sweepBudget(tx); err != nil {
			return err
		}
		return put(tx.Bucket(bBudget), []byte(id), spent)
	})
	if err == nil && full {
		err = fmt.Errorf("it was sent %d sign-ins in an hour, or %d in a day: %w", budgetHour, budgetDay, home.ErrBudget)
	}
	return err
}

// Good gives the last sign-in back: the device has taken it.
func (s *Store) Good(id home.DeviceID) error {
	return s.update(func(tx *bbolt.Tx) error {
		spent, err := spent(tx, id)
		if err != nil {
			return err
		}
		if len(spent) < 2 {
			return tx.Bucket(bBudget).Delete([]byte(id))
		}
		return put(tx.Bucket(bBudget), []byte(id), spent[:len(spent)-1])
	})
}

// spent returns when the sign-ins were that still count. What was in the future, for a clock that was set back since, counts as of now.
func spent(tx *bbolt.Tx, id home.DeviceID) ([]time.Time, error) {
	all, _, err := get[[]time.Time](tx.Bucket(bBudget), []byte(id))
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

// moveBudget counts for a device under its new name what was spent under the old one.
func moveBudget(tx *bbolt.Tx, from, to home.DeviceID) error {
	was, err := spent(tx, from)
	if err != nil || len(was) == 0 {
		return err
	}
	has, err := spent(tx, to)
	if err != nil {
		return err
	}
	if err := tx.Bucket(bBudget).Delete([]byte(from)); err != nil {
		return err
	}
	return put(tx.Bucket(bBudget), []byte(to), append(was, has...))
}

// manyBudgets is how many devices are counted before those whose day has passed are forgotten.
const manyBudgets = 256

func sweepBudget(tx *bbolt.Tx) error {
	b := tx.Bucket(bBudget)
	if b.Stats().KeyN < manyBudgets {
		return nil
	}
	var over [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		left, err := spent(tx, home.DeviceID(k))
		if len(left) == 0 {
			over = append(over, clone(k))
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
