package tpap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// locking is a device that holds a password that is not known, and locks after so many wrong ones.
func locking(t *testing.T, kind home.Kind, locks int) *sim.Device {
	t.Helper()
	unknown := home.NewSecret("unknown")
	return play(t, sim.Spec{Kind: kind, Protocol: home.TPAP, Username: email, Password: unknown, Locks: locks})[0]
}

func TestADeviceThatLocksSoonIsLeftAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, kind := range []home.Kind{home.Plug, home.Camera} {
		on := drivertest.NewDisk()
		d := locking(t, kind, tpap.Floor+1)
		for n := range 4 {
			if _, err := driver(t, on).Probe(t.Context(), seen(d), both); !errors.Is(err, home.ErrBudget) {
				t.Errorf("%s, probe %d: got %v", kind, n, err)
			}
		}
		wrongs(t, d, 1)
		on.Limit = 0
		d.Hold(email, newPair.Password)
		if _, err := driver(t, on).Probe(t.Context(), seen(d), both); !errors.Is(err, home.ErrBudget) {
			t.Errorf("%s, without a budget: got %v", kind, err)
		}
		d.PowerOff()
	}
}

func TestALockIsWaitedOut(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, kind := range []home.Kind{home.Plug, home.Camera} {
		d := locking(t, kind, 1)
		before := time.Now()
		f, err := driver(t, drivertest.NewDisk()).Probe(t.Context(), seen(d), both)
		expect(t, f, err, home.Unknown, home.LockedOut, 0)
		if left := f.Verdict.Until.Sub(before); left < 29*time.Minute || left > 32*time.Minute {
			t.Errorf("%s: locked for %v", kind, left)
		}
		if err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), seen(d), order); !errors.Is(err, home.ErrBudget) {
			t.Errorf("%s: rekey: got %v", kind, err)
		}
		wrongs(t, d, 1)
		d.PowerOff()
	}
}

func TestFirmwareIsUnderstoodOrNamed(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, c := range []struct {
		kind   home.Kind
		defect sim.Defect
		match  home.Match
		state  home.State
		detail string
	}{
		{home.Plug, sim.Unhashed, home.Ours, home.Stale, ""},
		{home.Camera, sim.Crypt, home.Ours, home.Stale, ""},
		{home.Camera, sim.Reticent, home.Ours, home.Stale, ""},
		{home.Plug, sim.Reticent, home.Unknown, home.Unreachable, ""},
		{home.Plug, sim.Suite2, home.Unknown, home.Unsupported, "suite 2"},
		{home.Camera, sim.Faithless, home.Unknown, home.Mismatch, "another device"},
		{home.Plug, sim.Impostor, home.Unknown, home.Mismatch, "another device"},
		{home.Camera, sim.Garbled, home.Unknown, home.Unreachable, ""},
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.defect), func(t *testing.T) {
			d := device(t, c.kind, c.defect)
			old := both
			old.Credentials = both.Credentials[1:]
			f, err := driver(t, drivertest.NewDisk()).Probe(t.Context(), seen(d), old)
			epoch := home.Epoch(0)
			if c.state == home.Stale {
				epoch = 4
			}
			expect(t, f, err, c.match, c.state, epoch)
			if !strings.Contains(f.Verdict.Detail, c.detail) {
				t.Errorf("detail %q, want something of %q", f.Verdict.Detail, c.detail)
			}
			wrongs(t, d, 0)
		})
	}
}

// The order of an owner has the commands tried that no real device is known to take; the simulated ones do, as those
// of the older protocols. One that did not take the new password is not shown as holding it.
func TestAnOrderedMoveIsProvedByASignIn(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, c := range []struct {
		kind   home.Kind
		defect sim.Defect
		want   error
	}{
		{home.Bulb, sim.Unhashed, nil},
		{home.Camera, sim.Crypt, nil},
		{home.Camera, sim.Restless, nil}, // it refuses the right password once, and counts it
		{home.Plug, sim.Stubborn, home.ErrRefused},
		{home.Camera, sim.Stubborn, home.ErrRefused},
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.defect), func(t *testing.T) {
			on, d := drivertest.NewDisk(), device(t, c.kind, c.defect)
			err := driver(t, on).Rekey(t.Context(), seen(d), order)
			for errors.Is(err, home.ErrBudget) { // one credential a call
				err = driver(t, on).Rekey(t.Context(), seen(d), order)
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if holds := d.Holds(email, newPair.Password); holds != (c.want == nil) {
				t.Errorf("it holds the new password: %t", holds)
			}
			if c.want != nil && (!strings.Contains(err.Error(), "code ") || home.HintOf(err) == "") {
				t.Errorf("no code or no hint in %v", err)
			}
		})
	}
}
