package home_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// clocks are wrong times of a clock that is set right then: a year ahead, a year behind, or never set since the machine
// started.
var clocks = []struct {
	name         string
	wrong, right time.Time
}{
	{"a year ahead", noon.AddDate(1, 0, 0), noon},
	{"a year behind", noon.AddDate(-1, 0, 0), noon},
	{"none at boot", time.Unix(60, 0).UTC(), noon},
}

// TestNothingWaitsForAClockThatWasSet holds that no record of a hub which was written with a wrong clock delays
// anything for longer than one that was written with a right clock.
func TestNothingWaitsForAClockThatWasSet(t *testing.T) {
	current := home.Verdict{State: home.Current, Epoch: 2}
	for name, late := range map[string]func(wrong, right time.Time) bool{
		"the next try": func(wrong, right time.Time) bool {
			return home.Binding{Next: wrong.Add(time.Hour)}.Due(right).After(right.Add(time.Hour))
		},
		"a verdict that waits": func(wrong, right time.Time) bool {
			until := right.Add(2 * time.Hour)
			b := home.Binding{Next: wrong.Add(time.Hour)}
			return !b.Observed(home.Verdict{State: home.Waiting, Until: until}, 2, right).Due(right).Equal(until)
		},
		"a lock-out": func(wrong, right time.Time) bool {
			v := home.Verdict{State: home.LockedOut, Until: wrong.Add(home.LockTime)}
			return home.Binding{}.Observed(v, 2, wrong).LockLeft(right) > home.LockTime
		},
		"a refused credential": func(wrong, right time.Time) bool {
			s := home.SignIns{}.Refuse(home.NewSecret("x"), wrong)
			return s.Refuses(home.NewSecret("x"), right.Add(home.RefusedTime))
		},
		"a move": func(wrong, right time.Time) bool {
			b := home.Binding{DeviceEpoch: 1, Verdict: home.Verdict{State: home.Stale, Epoch: 1}}
			b = b.Observed(current, 2, wrong).Observed(current, 2, right)
			return !b.Observed(current, 2, right.Add(home.SettleTime+time.Second)).Moved.IsZero()
		},
		"a probe after a move": func(wrong, right time.Time) bool {
			at, _ := home.Binding{Verdict: current, Moved: wrong}.Glance(right)
			return at.Sub(right) > home.SettleTime+time.Second
		},
		"consent for a fresh device": func(wrong, right time.Time) bool {
			return home.Consents{FreshUntil: wrong.Add(home.FreshTime)}.Fresh(right.Add(home.FreshTime))
		},
	} {
		for _, c := range clocks {
			if late(c.wrong, c.right) {
				t.Errorf("%s, written while the clock was %s, waits for that time", name, c.name)
			}
		}
	}
}

// TestAClockThatWasNeverSetForgivesNothing: a machine without a clock of its own starts in 1970 each time. A credential
// that a device refused before is not tried until the clock is set, and then not for the rest of the day.
func TestAClockThatWasNeverSetForgivesNothing(t *testing.T) {
	s := home.SignIns{}.Refuse(home.NewSecret("x"), noon)
	for _, now := range []time.Time{noon.Add(-time.Minute), time.Unix(60, 0).UTC(), noon.Add(23 * time.Hour)} {
		if !s.Refuses(home.NewSecret("x"), now) {
			t.Errorf("tried again at %v", now)
		}
	}
}

func ExampleAge() {
	for _, at := range []time.Time{noon.Add(-time.Minute), noon.Add(time.Minute), noon.AddDate(1, 0, 0)} {
		fmt.Println(home.Age(at, noon, time.Hour))
	}
	// Output:
	// 1m0s
	// 0s
	// 1h0m0s
}
