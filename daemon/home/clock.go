package home

import "time"

// firstTime is before every true time. A clock that shows less has not been set since the machine started.
var firstTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Age returns how long ago at was, at most limit, by a clock that may have been set since. An instant in the future
// counts as now, where it is within limit, or where the clock has not been set since the machine started. Any other
// was written while the clock was ahead, and counts as limit ago.
func Age(at, now time.Time, limit time.Duration) time.Duration {
	age := now.Sub(at)
	if age < -limit && now.After(firstTime) {
		return limit
	}
	return min(max(age, 0), limit)
}

// Left returns how long it is until an end that was at most limit away when it was written. An end further in the
// future was written while the clock was ahead: nothing is left of it.
func Left(until, now time.Time, limit time.Duration) time.Duration {
	left := until.Sub(now)
	if left > limit {
		return 0
	}
	return max(left, 0)
}
