package home

import (
	"fmt"
	"time"
)

// Binding is that a device belongs to an account, and how far each of its two ends has come.
type Binding struct {
	Device      DeviceID
	Account     AccountID
	DeviceEpoch Epoch     // newest epoch that a probe saw the device hold; 0 when none was seen
	CloudEpoch  Epoch     // newest epoch at which the account confirmed the device's sign-in; 0 when none
	Announced   bool      // the account service has answered that it knows the binding
	Verdict     Verdict   // what the last probe found
	Since       time.Time // when Verdict last changed, UTC
	Tries       int       // rekeys begun since the device was last current
	Next        time.Time // not to be touched before; zero when at once
	Moved       time.Time // when it was first seen to hold DeviceEpoch; zero when that is long settled
	Locked      time.Time // until when it said that it takes no sign-ins, whatever was found since
	Reverts     int       // how often it was seen to have given DeviceEpoch up again, since it was moved there
}

// Current tells whether both ends of the binding were seen to hold newest.
func (b Binding) Current(newest Epoch) bool {
	return b.Verdict.State == Current && b.DeviceEpoch == newest && b.CloudEpoch == newest
}

// Observed returns the binding after a probe found v, with the account at newest. A device that gives an epoch up which it held (its cloud
// or its firmware took it back) is moved there once more; when it gives that up, too, it is reverted, and its owner's business.
func (b Binding) Observed(v Verdict, newest Epoch, at time.Time) Binding {
	v = v.Against(newest)
	if v.State == Current && v.Epoch != newest {
		v.State = Stale // ahead of what this hub has a grant for; current when the grant is here
	}
	if b.DeviceEpoch == newest && newest != 0 && v.Epoch <= newest && b.Verdict.State.kept() && v.State.movable() {
		b.Reverts++
	}
	if b.Reverts > 1 && v.State.movable() {
		v.State = Reverted
	}
	if !v.Same(b.Verdict) {
		b.Since = at
	}
	was := b.Verdict.State
	b.Verdict = v
	switch {
	case v.State == Current:
		switch {
		case was != "" && (b.DeviceEpoch != v.Epoch || !was.kept()):
			b.Moved = at
		case !b.Moved.IsZero() && at.Sub(b.Moved) > SettleTime:
			b.Moved, b.Reverts = time.Time{}, 0
		}
		b.DeviceEpoch, b.Tries, b.Next = v.Epoch, 0, time.Time{}
	case v.State == Stale && v.Epoch != 0:
		b.DeviceEpoch = v.Epoch
	case v.State == LockedOut:
		if b.Locked = v.Until; v.Until.After(b.Next) {
			b.Next = v.Until // also after a restart
		}
	}
	return b
}

// When a device that was moved is looked at once more, and when that is settled: what its cloud takes back it takes back within minutes,
// or when it next speaks to it.
const (
	GlanceTime = 5 * time.Minute
	SettleTime = 24 * time.Hour
)

// Glance returns when a device that was moved is to be looked at again at the latest, because it may have gone back; ok is false where
// that is settled.
func (b Binding) Glance(now time.Time) (at time.Time, ok bool) {
	switch {
	case b.Moved.IsZero() || b.Verdict.State != Current:
		return at, false
	case now.Sub(b.Moved) < GlanceTime:
		return b.Moved.Add(GlanceTime), true
	}
	return b.Moved.Add(SettleTime + time.Second), true
}

// Intent is written to disk before a device is touched and forgotten after its end was seen. After a crash it says what the
// device may hold: a probe decides.
type Intent struct {
	Device DeviceID
	Holds  []Epoch // every epoch the device may hold, the target included; ascending, no doubles
	To     Epoch
	At     time.Time
}

// Supersede returns the intent to move the device to `to`, which may already be under way to an older epoch. It refuses
// with ErrOldEpoch to go back.
func (i Intent) Supersede(to Epoch, at time.Time) (Intent, error) {
	if to < i.To {
		return i, fmt.Errorf("intent for epoch %d, asked for %d: %w", i.To, to, ErrOldEpoch)
	}
	i.Holds = withEpoch(i.Holds, to)
	i.To, i.At = to, at
	return i, nil
}

// NewIntent returns the intent to move a device that holds from (0 when that is unknown) to `to`.
func NewIntent(d DeviceID, from, to Epoch, at time.Time) Intent {
	i := Intent{Device: d, To: to, At: at}
	i.Holds = withEpoch(i.Holds, to)
	if from != 0 {
		i.Holds = withEpoch(i.Holds, from)
	}
	return i
}
