package drivertest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// ordered are the promises of a driver that moves a device only when its owner orders a try: all of checks but the
// first, which another takes the place of. It is never changed.
var ordered = slices.Concat([]check{
	{"a blank device is found blank, and is not moved", stillBlank},
	{"a rekey that was not ordered is refused, with what the owner can do, and changes nothing", notOrdered},
	{"a device that is not bound is not signed in to", notBound},
}, checks[1:])

// A driver that moves only when it is ordered to refuses a device that holds nothing, and leaves it so.
func stillBlank(b *bench) error {
	b.devices[0].Hold(home.Blank)
	b.c.Recorded = 0
	if err := b.found(0, home.Unbound, home.Blank, home.Default); err != nil {
		return err
	}
	if err := b.rekey(0); !errors.Is(err, home.ErrRefused) {
		return fmt.Errorf("rekey: got %w, want: %w", cause(err), home.ErrRefused)
	}
	return b.hold(0, home.Blank)
}

func notOrdered(b *bench) error {
	b.try = false
	return refused(b)
}

// Of an unbound device such a driver claims nothing that only a counted sign-in could show.
func notBound(b *bench) error {
	b.c.Terms.Bound = false
	f, err := b.probe(0)
	if err != nil {
		return err
	}
	if f.Match == home.Ours || f.Verdict.HoldsOlder() || f.Verdict.State == home.Current {
		return fmt.Errorf("found %s, %s: only a sign-in can show that", f.Match, f.Verdict.State)
	}
	return nil
}
