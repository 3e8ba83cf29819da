package home

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Binding is the record that a device belongs to an account, and of the progress at both of its ends.
type Binding struct {
	Device      DeviceID
	Account     AccountID
	DeviceEpoch Epoch     // newest epoch that a probe saw the device hold; 0 when none was seen
	CloudEpoch  Epoch     // newest epoch at which the account confirmed the device's sign-in; 0 when none
	Verdict     Verdict   // of the last probe
	Since       time.Time // when Verdict last changed, UTC
	Tries       int       // failed rekeys since the device was last current
	Next        time.Time // no try before; zero for at once
	Moved       time.Time // when it was first seen to hold DeviceEpoch; zero once the move is settled
	Rekeyed     time.Time // when a probe last saw that it had changed to the newest epoch; zero for never
	Locked      time.Time // end of its last lock-out
	Reverts     int       // how often it was found without DeviceEpoch after it was moved there
	ProofRank   ProofRank // the strongest proof that the device ever gave of holding a credential; 0 for none
	Consents    Consents
	Name        string // that the owner gave the device; empty for none
}

// Current reports whether both ends of the binding were seen to hold newest.
func (b Binding) Current(newest Epoch) bool {
	return b.Verdict.State == Current && b.DeviceEpoch == newest && b.CloudEpoch == newest
}

// Observed returns the binding after a probe with verdict v, with the account at newest. A device's cloud or firmware
// can restore an older credential. The first time, rekeyd moves the device again; the second time the binding becomes
// Reverted and waits for the owner.
func (b Binding) Observed(v Verdict, newest Epoch, at time.Time) Binding {
	v = v.Against(newest)
	if v.State == Current && v.Epoch != newest {
		v.State = Stale // ahead of the hub's newest grant; current when that grant is here
	}
	if b.DeviceEpoch == newest && newest != 0 && v.Epoch <= newest && b.Verdict.State.mayStillHold() &&
		v.State.outdated() {
		b.Reverts++
	}
	if b.Reverts > 1 && v.State.outdated() {
		v.State = Reverted
	}
	if !v.Same(b.Verdict) {
		b.Since = at
	}
	if b.Moved.After(at) { // the clock was ahead
		b.Moved = at
	}
	was := b.Verdict.State
	b.Verdict = v
	switch v.State {
	case Current, Stale, WrongCase:
		b.Consents.FreshUntil = time.Time{} // it is not factory-fresh
		b.Locked = time.Time{}
	case Default, Blank:
		b.Locked = time.Time{}
	}
	switch {
	case v.State == Current:
		switch {
		case was != "" && (b.DeviceEpoch != v.Epoch || !was.mayStillHold()):
			b.Moved, b.Rekeyed = at, at
		case !b.Moved.IsZero() && at.Sub(b.Moved) > SettleTime:
			b.Moved, b.Reverts = time.Time{}, 0
		}
		b.DeviceEpoch, b.Tries, b.Next = v.Epoch, 0, time.Time{}
	case v.State == Stale && v.Epoch != 0:
		b.DeviceEpoch = v.Epoch
	case v.State.Waits():
		if v.State == LockedOut {
			b.Locked = v.Until
		}
		if Left(v.Until, at, longestWait) > Left(b.Next, at, longestWait) {
			b.Next = v.Until // also after a restart
		}
	}
	return b
}

// Due returns when the next job for the device may begin. A device that reported a lock-out is asked again before its
// end: that costs it no sign-in, and the report may be forged.
func (b Binding) Due(now time.Time) time.Time {
	if b.Verdict.State == LockedOut || Left(b.Next, now, longestWait) == 0 {
		return now
	}
	return b.Next
}

// longestWait is how long a try is postponed at most: a day, for the sign-in budget.
const longestWait = 25 * time.Hour

// LockLeft returns how long the device's last lock-out still lasts.
func (b Binding) LockLeft(now time.Time) time.Duration {
	return Left(b.Locked, now, longestWait)
}

// Proved returns the binding after a probe with verdict v in a conversation of that rank. A rank counts where the
// verdict shows that the device holds a credential; it never falls.
func (b Binding) Proved(v Verdict, rank ProofRank) Binding {
	switch v.State {
	case Current, Stale, WrongCase, Default:
		b.ProofRank = max(b.ProofRank, rank)
	}
	return b
}

// A device that was moved is probed again after GlanceTime and after SettleTime: what its cloud restores, it restores
// within minutes, or at their next contact.
const (
	GlanceTime = 5 * time.Minute
	SettleTime = 24 * time.Hour
)

// Glance returns the latest time for the next probe of a device that was moved and may revert; ok is false once the
// move is settled.
func (b Binding) Glance(now time.Time) (at time.Time, ok bool) {
	switch {
	case b.Moved.IsZero() || b.Verdict.State != Current:
		return at, false
	case b.Moved.After(now): // the clock was ahead
		return now.Add(GlanceTime), true
	case now.Sub(b.Moved) < GlanceTime:
		return b.Moved.Add(GlanceTime), true
	}
	return b.Moved.Add(SettleTime + time.Second), true
}

// Intent is on disk before a device is touched, until a probe has seen the device hold the newest epoch. After a
// crash the engine reads the intents at start: their devices are probed before all others, and the epochs in Holds
// are tried right after the newest. The vault keeps the credentials of these epochs.
type Intent struct {
	Device DeviceID
	Holds  []Epoch // every epoch that the device may hold, the target included; ascending, each once
	To     Epoch
	At     time.Time
}

// NewIntent returns the intent to move a device that holds from (0 when that is unknown) to `to`.
func NewIntent(d DeviceID, from, to Epoch, at time.Time) Intent {
	return Intent{Device: d, To: to, At: at}.Holding(to).Holding(from)
}

// Supersede returns the intent to move the device to `to`, on top of an unfinished move. An older target than before
// is ErrOldEpoch.
func (i Intent) Supersede(to Epoch, at time.Time) (Intent, error) {
	if to < i.To {
		return i, fmt.Errorf("intent for epoch %d, asked for %d: %w", i.To, to, ErrOldEpoch)
	}
	i = i.Holding(to)
	i.To, i.At = to, at
	return i, nil
}

// Holding returns the intent of a device that may also hold e; 0 is no epoch.
func (i Intent) Holding(e Epoch) Intent {
	if e != 0 {
		i.Holds = withEpoch(i.Holds, e)
	}
	return i
}

// Order returns credentials, newest first, in the order in which a device is to be tried after a crash: the newest
// stays first, the other epochs that the device may hold follow, then the rest.
func (i Intent) Order(cs []Credential) []Credential {
	out := slices.Clone(cs)
	if len(out) > 1 {
		slices.SortStableFunc(out[1:], func(a, b Credential) int {
			return cmp.Compare(i.rank(a.Epoch), i.rank(b.Epoch))
		})
	}
	return out
}

func (i Intent) rank(e Epoch) int {
	if e != 0 && slices.Contains(i.Holds, e) {
		return 0
	}
	return 1
}
