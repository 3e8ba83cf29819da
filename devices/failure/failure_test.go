package failure_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

var device = home.Device{ID: "mac-50c7bf010203", Addr: netip.MustParseAddrPort("192.0.2.1:80")}

func TestFailuresBecomeVerdictsAndErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		state  home.State
		detail string
		cause  error // of a move
		hint   bool
	}{
		{
			failure.Unreachable(errors.New("no connection")), home.Unreachable, "port 80 does not answer", home.ErrUnreachable,
			false,
		},
		{failure.Unreachable(failure.ErrProtocol), home.Unreachable, failure.ErrProtocol.Error(), home.ErrUnreachable, false},
		{failure.ErrProtocol, home.Unreachable, failure.ErrProtocol.Error(), home.ErrUnreachable, false},
		{
			failure.Unreachable(failure.ErrThirdParty), home.ThirdPartyOff, failure.ErrThirdParty.Error(), home.ErrRefused,
			true,
		},
		{failure.Unreachable(home.ErrSlow), home.Unreachable, home.ErrSlow.Error(), home.ErrUnreachable, false},
		{failure.ErrOtherDevice, home.Mismatch, failure.ErrOtherDevice.Error(), home.ErrUnreachable, false},
		{failure.ErrMismatch, home.Mismatch, failure.ErrMismatch.Error(), home.ErrNotOpened, false},
		{failure.ErrRejected, home.Mismatch, failure.ErrRejected.Error(), home.ErrNotOpened, false},
		{home.ErrNotOpened, home.Mismatch, failure.ErrRejected.Error(), home.ErrNotOpened, false},
		{
			fmt.Errorf("greeting: %w", home.ErrForeign), home.ForeignHeld, "it reports another account as its owner",
			home.ErrForeign, false,
		},
		{home.ErrCleartext, home.Unsupported, home.ErrCleartext.Error(), home.ErrRefused, true},
		{failure.ErrUncounted, home.Unsupported, failure.ErrUncounted.Error(), home.ErrRefused, true},
		{failure.ErrNoCommand, home.Unsupported, failure.ErrNoCommand.Error(), home.ErrRefused, true},
		{failure.ErrReclassified, home.Unreachable, failure.ErrReclassified.Error(), home.ErrUnreachable, false},
		{failure.ErrTryLater, home.Unreachable, failure.ErrTryLater.Error(), home.ErrUnreachable, false},
	} {
		f, err := failure.Finding(t.Context(), home.Finding{Match: home.Unknown, Device: device}, c.err)
		if err != nil || f.Verdict.State != c.state || f.Verdict.Detail != c.detail {
			t.Errorf("%v: found %s (%s), %v; want %s (%s)", c.err, f.Verdict.State, f.Verdict.Detail, err, c.state, c.detail)
		}
		if foreign := errors.Is(c.err, home.ErrForeign); foreign != (f.Match == home.Foreign) {
			t.Errorf("%v: match %s", c.err, f.Match)
		}
		moved := failure.Rekey(device.ID, c.err)
		if !errors.Is(moved, c.cause) || !errors.Is(moved, c.err) || (home.HintOf(moved) != "") != c.hint {
			t.Errorf("%v: a move fails with %v (hint %q), want %v", c.err, moved, home.HintOf(moved), c.cause)
		}
	}
}

func TestFailuresOfThisSideAreNoVerdict(t *testing.T) {
	own := errors.New("out of entropy")
	for _, err := range []error{own, fmt.Errorf("%w: 3 in an hour", home.ErrBudget)} {
		if _, got := failure.Finding(t.Context(), home.Finding{Device: device}, err); !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err := failure.Finding(ended, home.Finding{Device: device}, failure.ErrMismatch); !errors.Is(
		err, context.Canceled,
	) {
		t.Errorf("after the end of the context: %v", err)
	}
	if err := failure.Rekey(device.ID, nil); err != nil {
		t.Errorf("no failure is %v", err)
	}
}

func TestLockedDeviceIsWaitedFor(t *testing.T) {
	locked := fmt.Errorf("sign in: %w", failure.LockedError{Left: time.Hour})
	f, err := failure.Finding(t.Context(), home.Finding{Device: device}, locked)
	if left := time.Until(f.Verdict.Until); err != nil || f.Verdict.State != home.LockedOut || left < 59*time.Minute ||
		left > time.Hour+time.Second {
		t.Errorf("found %s until %v, %v", f.Verdict.State, f.Verdict.Until, err)
	}
	if err := failure.Rekey(device.ID, locked); !errors.Is(err, home.ErrBudget) {
		t.Errorf("got %v, want %v", err, home.ErrBudget)
	}
}

func TestUnknownAddressIsNamed(t *testing.T) {
	f, err := failure.Finding(t.Context(), home.Finding{}, home.ErrUnreachable)
	if err != nil || f.Verdict != (home.Verdict{State: home.Unreachable, Detail: "its address is not known"}) {
		t.Errorf("found %+v, %v", f.Verdict, err)
	}
}
