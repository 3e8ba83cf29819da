package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	budgetRun  = 8 // in a row, and one more for a password just given; then one for each order that names the device
)

// budgetRecord has the sign-ins to a device in the last day.
type budgetRecord struct {
	Spent    []time.Time `json:"spent"`
	Open     bool        `json:"open,omitempty"` // the result of the last one is not known
	Returned time.Time   `json:"returned,omitzero"`
	Run      int         `json:"run,omitempty"` // sign-ins since the last that was right, of whatever age
}

// UnmarshalJSON also reads the list of times that older files have.
func (r *budgetRecord) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte("[")) {
		return json.Unmarshal(raw, &r.Spent)
	}
	type fields budgetRecord
	return json.Unmarshal(raw, (*fields)(r))
}

// reservedTime is how long after a password was given, or its owner ordered a try, a device may be sent all sign-ins of
// an hour and of a day. Later one of each is held back for the next password, which is tried first.
const reservedTime = time.Hour

var givenName = []byte("given")

// given records that a password was just given, or a try ordered.
func given(tx *bbolt.Tx) error { return boltfile.Put(tx.Bucket(bHub), givenName, now()) }

// allowed returns how many sign-ins a device may be sent in an hour, in a day, and in a row.
func allowed(tx *bbolt.Tx) (hourly, daily, run int) {
	at, ok, err := boltfile.Get[time.Time](tx.Bucket(bHub), givenName)
	if err == nil && ok && now().Sub(at).Abs() < reservedTime {
		return budgetHour, budgetDay, budgetRun + 1
	}
	return budgetHour - 1, budgetDay - 1, budgetRun
}

// Spend counts one sign-in whose password only the device can judge. It returns a home.WaitError, and the sign-in must
// not be sent, when the device had as many as it may have in an hour, a day or a row, or is locked. The count is on
// disk before Spend returns. One whose result was never recorded, as after a crash, is given back once an hour.
func (s *Store) Spend(id home.DeviceID) error {
	var hourly, daily, run int
	until, err := boltfile.Update(s.file, func(tx *bbolt.Tx) (until time.Time, err error) {
		b, _, err := bindings.get(tx, string(id))
		if err != nil {
			return until, err
		}
		if b.LockLeft(now()) > 0 {
			return until, home.WaitError{Until: b.Locked, Reason: "the device is locked"}
		}
		hourly, daily, run = allowed(tx)
		r, err := spent(tx, id)
		if err != nil {
			return until, err
		}
		if n := len(r.Spent); r.Open && n > 0 && now().Sub(r.Returned) >= time.Hour {
			r.Spent, r.Open, r.Returned, r.Run = r.Spent[:n-1], false, now(), max(r.Run-1, 0)
		}
		if r.Run >= run {
			return until, home.WaitError{Reason: fmt.Sprintf("it refused %d sign-ins in a row, and may lock after more", r.Run)}
		}
		if until = budgetEnd(r.Spent, hourly, daily); until.IsZero() {
			r.Spent, r.Open, r.Run = append(r.Spent, now()), true, r.Run+1
		}
		return until, errors.Join(sweepBudget(tx), boltfile.Put(tx.Bucket(bBudget), []byte(id), r))
	})
	if err == nil && !until.IsZero() {
		reason := fmt.Sprintf("it was sent %d sign-ins in an hour, or %d in a day", hourly, daily)
		err = home.WaitError{Until: until, Reason: reason}
	}
	return err
}

// budgetEnd returns until when a device that was sent sign-ins at these times, in order, is sent no other with so many
// in an hour and in a day; zero where one may be sent now.
func budgetEnd(spent []time.Time, hourly, daily int) (until time.Time) {
	if n := len(spent) - hourly; n >= 0 {
		until = spent[n].Add(time.Hour)
	}
	if n := len(spent) - daily; n >= 0 && spent[n].Add(24*time.Hour).After(until) {
		until = spent[n].Add(24 * time.Hour)
	}
	if !until.After(now()) {
		return time.Time{}
	}
	return until
}

// assumeSpent counts sign-ins to every bound device that a state from a backup does not know of: half of a day's, and
// none of the last hour's, so that a password that was just given can be tried.
func assumeSpent(tx *bbolt.Tx) error {
	all, err := bindings.all(tx)
	for _, b := range all {
		r, serr := spent(tx, b.Device)
		for range budgetDay / 2 {
			r.Spent = append(r.Spent, now().Add(-time.Hour))
		}
		slices.SortFunc(r.Spent, time.Time.Compare)
		err = errors.Join(err, serr, boltfile.Put(tx.Bucket(bBudget), []byte(b.Device), r))
	}
	return err
}

// Good returns the last sign-in to the budget: the device accepted it.
func (s *Store) Good(id home.DeviceID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := spent(tx, id)
		if err != nil {
			return err
		}
		if len(r.Spent) < 2 {
			return tx.Bucket(bBudget).Delete([]byte(id))
		}
		r.Spent, r.Open, r.Run = r.Spent[:len(r.Spent)-1], false, 0
		return boltfile.Put(tx.Bucket(bBudget), []byte(id), r)
	})
}

// Refused records that the device has refused the last sign-in.
func (s *Store) Refused(id home.DeviceID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := spent(tx, id)
		if err != nil || !r.Open {
			return err
		}
		r.Open = false
		return boltfile.Put(tx.Bucket(bBudget), []byte(id), r)
	})
}

// spent returns the times of the sign-ins that still count. A time in the future, from before the clock was set back,
// counts as now.
func spent(tx *bbolt.Tx, id home.DeviceID) (budgetRecord, error) {
	r, _, err := boltfile.Get[budgetRecord](tx.Bucket(bBudget), []byte(id))
	var kept []time.Time
	for _, at := range r.Spent {
		if at.After(now()) {
			at = now()
		}
		if now().Sub(at) < 24*time.Hour {
			kept = append(kept, at)
		}
	}
	r.Spent = kept
	if r.Returned.After(now()) {
		r.Returned = now()
	}
	return r, err
}

// endRun has a device take one more sign-in, after many in a row that were wrong.
func endRun(tx *bbolt.Tx, id home.DeviceID) error {
	r, err := spent(tx, id)
	if err != nil || r.Run <= budgetRun {
		return err
	}
	r.Run = budgetRun
	return boltfile.Put(tx.Bucket(bBudget), []byte(id), r)
}

// manyBudgets is how many devices are counted before those whose day has passed are forgotten.
const manyBudgets = 256

// sweepBudget deletes the counts of devices whose sign-ins are older than a day, once there are many. A bound device
// keeps its count of sign-ins in a row.
func sweepBudget(tx *bbolt.Tx) error {
	b := tx.Bucket(bBudget)
	if b.Stats().KeyN < manyBudgets {
		return nil
	}
	var over [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		left, err := spent(tx, home.DeviceID(k))
		if len(left.Spent) == 0 && (left.Run == 0 || !bindings.has(tx, string(k))) {
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
