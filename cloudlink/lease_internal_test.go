package cloudlink

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// The clock that is never set stands still while a machine sleeps; the time of day can be set. A lease has ended when it
// has ended by one of the two.
func TestALeaseEndsByEitherClock(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		renewed time.Time
		want    bool
	}{
		"just now":      {now, true},
		"a moment left": {now.Add(time.Millisecond - wire.LeaseTerm), true},
		"over":          {now.Add(-wire.LeaseTerm), false},
		"never":         {time.Time{}, false},
		// Without its monotonic reading, a time is of the time of day only.
		"the time of day was set ahead, or the machine slept": {now.Round(0).Add(-time.Hour), false},
		"the time of day was set back":                        {now.Round(0).Add(time.Hour), false},
	} {
		if got := holds(now, c.renewed); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
