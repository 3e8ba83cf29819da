package home_test

import (
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestADeviceThatGoesBackIsMovedOnceMoreAndThenReported(t *testing.T) {
	const newest = 5
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	type step struct {
		found   home.State
		epoch   home.Epoch
		after   time.Duration
		want    home.State
		reverts int
		glance  time.Duration // from now; 0 for none
	}
	for name, steps := range map[string][]step{
		"one that stays": {
			{home.Stale, 4, 0, home.Stale, 0, 0},
			{home.Current, 5, time.Second, home.Current, 0, home.GlanceTime},
			{home.Current, 5, home.GlanceTime, home.Current, 0, home.SettleTime + time.Second - home.GlanceTime},
			{home.Current, 5, home.SettleTime + time.Second - home.GlanceTime, home.Current, 0, 0},
		},
		"one that was current when it was first seen": {{home.Current, 5, 0, home.Current, 0, 0}},
		"one that its cloud sets back": {
			{home.Stale, 4, 0, home.Stale, 0, 0},
			{home.Current, 5, time.Second, home.Current, 0, home.GlanceTime},
			{home.Stale, 4, home.GlanceTime, home.Stale, 1, 0},
			{home.Current, 5, time.Second, home.Current, 1, home.GlanceTime},
			{home.Stale, 4, home.GlanceTime, home.Reverted, 2, 0},
			{home.Stale, 4, time.Hour, home.Reverted, 2, 0},
			{home.Current, 5, time.Hour, home.Current, 2, home.GlanceTime}, // its owner has seen to it
		},
		"one that goes back to the factory's, and was off between": {
			{home.Stale, 4, 0, home.Stale, 0, 0},
			{home.Current, 5, time.Second, home.Current, 0, home.GlanceTime},
			{home.Unreachable, 0, time.Second, home.Unreachable, 0, 0},
			{home.WasReset, 0, time.Second, home.WasReset, 0, 0}, // or another device
			{home.Current, 5, time.Second, home.Current, 0, home.GlanceTime},
			{home.Default, 0, time.Second, home.Default, 1, 0}, // its owner named it
			{home.Current, 5, time.Second, home.Current, 1, home.GlanceTime},
			{home.Default, 0, time.Second, home.Reverted, 2, 0},
		},
		"one that is off now and then": {
			{home.Current, 5, 0, home.Current, 0, 0},
			{home.Unreachable, 0, time.Second, home.Unreachable, 0, 0},
			{home.Current, 5, time.Second, home.Current, 0, 0},
		},
		"one that was never there": {
			{home.Stale, 4, 0, home.Stale, 0, 0},
			{home.Blank, 0, time.Second, home.Blank, 0, 0},
			{home.Stale, 4, time.Second, home.Stale, 0, 0},
		},
		"one that is ahead": {
			{home.Current, 5, 0, home.Current, 0, 0}, {home.Current, 6, time.Second, home.Stale, 0, 0},
		},
		"one whose password is unknown": {
			{home.Current, 5, 0, home.Current, 0, 0}, {home.Mismatch, 0, time.Second, home.Mismatch, 0, 0},
		},
	} {
		var b home.Binding
		now := at
		for i, s := range steps {
			now = now.Add(s.after)
			b = b.Observed(home.Verdict{State: s.found, Epoch: s.epoch}, newest, now)
			look, ok := b.Glance(now)
			if ok != (s.glance != 0) || ok && look.Sub(now) != s.glance || b.Verdict.State != s.want || b.Reverts != s.reverts {
				t.Errorf(
					"%s, step %d: %s, %d times back, next look after %v (%v); want %s, %d, %v",
					name,
					i,
					b.Verdict.State,
					b.Reverts,
					look.Sub(now),
					ok,
					s.want,
					s.reverts,
					s.glance,
				)
			}
		}
	}
}

func TestTheFactoryFreshConsentEndsWhenADeviceHoldsAPassword(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	for _, found := range []home.State{
		home.Default, home.Blank, home.Unreachable, home.Stale, home.WrongCase, home.Current,
	} {
		b := home.Binding{DeviceEpoch: 4, CloudEpoch: 4}
		b.Consents.FreshUntil = now.Add(home.FreshTime)
		got := b.Observed(home.Verdict{State: found, Epoch: 3}, 3, now)
		holds := found == home.Stale || found == home.WrongCase || found == home.Current
		if got.Consents.FreshUntil.IsZero() != holds {
			t.Errorf("%s: consent until %v", found, got.Consents.FreshUntil)
		}
	}
}
