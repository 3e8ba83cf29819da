// Package failure names the ways in which a conversation with a device fails. Transports and drivers return its errors;
// Finding and Rekey translate them: into the verdict of a probe, and into an error of a move with a hint for the owner.
// One table holds both.
package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The failures. Their texts are shown to people as the detail of a verdict, and quote nothing that a device sent.
var (
	ErrProtocol     = errors.New("what answers at its address does not speak its protocol")
	ErrOtherDevice  = errors.New("another device answers at its address")
	ErrThirdParty   = errors.New("its app lets no other program in") // Third-Party Compatibility is off
	ErrMismatch     = errors.New("it holds none of the credentials that are known here")
	ErrRejected     = errors.New("it does not take the credential that it holds")
	ErrUncounted    = errors.New("its firmware does not report how many wrong sign-ins it has counted: none is risked")
	ErrReclassified = errors.New("its firmware speaks another protocol now: the next discovery classifies it again")
	ErrTryLater     = errors.New("it answers, and could not do it just now")
	ErrNoPassword   = errors.New("this hub does not know the new password")
	ErrNoKey        = errors.New("its firmware gives no key to encrypt a password with, and encrypts nothing itself")
	ErrNoCommand    = errors.New("no command is known that gives it a password")
	ErrNoLogin      = errors.New("its own password, that of its web page, is not known here")
	ErrLogin        = errors.New("it does not accept the password of its web page that was given here")
)

// LockedError is the failure of a device that takes no sign-in for a while.
type LockedError struct{ Left time.Duration }

func (LockedError) Error() string { return "it has had too many wrong sign-ins" }

// meaning is the verdict of one failure.
type meaning struct {
	err   error
	state home.State // of the verdict of a probe
	cause error      // home's sentinel for a move; nil where the error has it already
	hint  string     // for a move, with DEVICE for its ID; the verdict's own hint where it is hintOfVerdict
}

const (
	hintOfVerdict = "-"
	allowHint     = "allow it with: rekeyd bind --allow-cleartext-bind DEVICE, or change its password in its own app"
	ownAppHint    = "change the password of DEVICE in its own app, because it refuses to be moved"
	ownLoginHint  = "give the password of its web page with: rekeyd bind --device-password DEVICE"
	loginHint     = "sign in with the new password, with: rekeyd login EMAIL"
)

// meanings is never changed. The first that applies counts.
var meanings = []meaning{
	{home.ErrForeign, home.ForeignHeld, nil, ""},
	{ErrOtherDevice, home.Mismatch, home.ErrUnreachable, ""},
	{home.ErrCleartext, home.Unsupported, home.ErrRefused, allowHint},
	{home.ErrWeaker, home.Downgraded, home.ErrRefused, hintOfVerdict},
	{home.ErrWasReset, home.WasReset, home.ErrRefused, hintOfVerdict},
	{home.ErrUnproved, home.Mismatch, home.ErrRefused, ""},
	{home.ErrNotBound, home.Mismatch, home.ErrRefused, ""},
	{ErrNoCommand, home.Unsupported, home.ErrRefused, hintOfVerdict},
	{ErrNoKey, home.Unsupported, home.ErrRefused, hintOfVerdict},
	{ErrUncounted, home.Unsupported, home.ErrRefused, hintOfVerdict},
	{ErrThirdParty, home.ThirdPartyOff, home.ErrRefused, hintOfVerdict},
	{ErrReclassified, home.Unreachable, home.ErrUnreachable, ""},
	{ErrTryLater, home.Unreachable, home.ErrUnreachable, ""},
	{home.ErrSlow, home.Unreachable, home.ErrUnreachable, ""},
	{ErrProtocol, home.Unreachable, home.ErrUnreachable, ""},
	{ErrMismatch, home.Mismatch, home.ErrNotOpened, ""},
	{ErrRejected, home.Mismatch, home.ErrNotOpened, ""},
	{ErrNoLogin, home.Unasked, home.ErrRefused, ownLoginHint},
	{ErrLogin, home.Mismatch, home.ErrNotOpened, ownLoginHint},
	{ErrNoPassword, home.Unasked, nil, loginHint},
}

func meaningOf(err error) (meaning, bool) {
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			return m, true
		}
	}
	return meaning{}, false
}

// Unreachable marks err as one that left the driver without a usable answer.
func Unreachable(err error) error { return fmt.Errorf("%w: %w", home.ErrUnreachable, err) }

// Finding completes f, the finding of a probe that failed with err. What the device caused becomes a verdict, and the
// error is nil. The end of ctx, an exhausted budget (home.ErrBudget) and failures of this side are returned as errors.
func Finding(ctx context.Context, f home.Finding, err error) (home.Finding, error) {
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case errors.Is(err, home.ErrBudget):
		return f, fmt.Errorf("probe: %w", err)
	case errors.Is(err, home.ErrForeign):
		f.Match = home.Foreign
	}
	if locked, ok := errors.AsType[LockedError](err); ok {
		until := time.Now().UTC().Add(locked.Left).Round(time.Second)
		f.Verdict = home.Verdict{State: home.LockedOut, Until: until, Detail: locked.Error()}
		return f, nil
	}
	if m, ok := meaningOf(err); ok {
		detail := m.err.Error()
		if m.err == home.ErrForeign {
			detail = "it reports another account as its owner"
		}
		f.Verdict, f.Other = home.Verdict{State: m.state, Detail: detail}, m.err == ErrOtherDevice
		return f, nil
	}
	switch {
	case errors.Is(err, home.ErrNotOpened):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: ErrRejected.Error()}
	case errors.Is(err, home.ErrUnreachable) && !f.Device.Addr.IsValid():
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "its address is not known"}
	case errors.Is(err, home.ErrUnreachable):
		detail := fmt.Sprintf("port %d does not answer", f.Device.Addr.Port())
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: detail}
	default:
		return f, fmt.Errorf("probe: %w", err)
	}
	return f, nil
}

// Rekey translates the failure of a move: the error wraps a sentinel of home, with a hint where the owner can do
// something. It returns nil for nil.
func Rekey(id home.DeviceID, err error) error {
	if _, ok := errors.AsType[LockedError](err); ok {
		return fmt.Errorf("%w: %w", home.ErrBudget, err)
	}
	m, ok := meaningOf(err)
	switch {
	case !ok && errors.Is(err, home.ErrRefused):
		m.hint = ownAppHint
	case !ok:
		return err
	}
	if m.cause != nil && !errors.Is(err, m.cause) {
		err = fmt.Errorf("%w: %w", m.cause, err)
	}
	hint := m.hint
	if hint == hintOfVerdict {
		hint = home.Verdict{State: m.state}.Hint(string(id))
	}
	if hint == "" {
		return err
	}
	hint = strings.ReplaceAll(hint, "DEVICE", string(id))
	return &home.Error{Op: "rekey", Device: id, Err: err, Hint: hint}
}
