// Package tapocam is the driver for Tapo cameras: SSL-AES on port 443, JSON inside. Facts and their sources: devices/PROTOCOLS.md, section 10.
// Nothing of it was ever tried on a camera. What is a guess there is one here, and says so.
//
// A camera proves what it holds before this side proves anything: one answer of it is compared with every password of the vault,
// hashed in both ways, without a sign-in being spent. Only where one matches is it signed in to, to learn who it is: cameras tell that
// to nobody else, and a password proves an account, not a device. That sign-in counts, too, until the camera has taken it: one that
// proves a password and then refuses it does not lock itself by this program.
//
// Older firmware knows only a login that tells it a hash of the password. There each try costs a sign-in, and each tells whatever
// stands at the address something that is as good as the password: none is made unless the owner has agreed (home.Account.CleartextBind).
package tapocam

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Options are what New checks.
type Options struct {
	Budget  keyring.Budget // needed
	Timeout time.Duration  // for one question and its answer; 5 s when zero
}

// Driver speaks to cameras. It is safe for use by several goroutines.
type Driver struct {
	o Options

	mu    sync.Mutex // guards memos
	memos map[home.DeviceID]memo
}

// memo is what a driver knows of a camera until the daemon ends.
type memo struct {
	cert   [sha256.Size]byte // of the camera when it was last signed in to and said who it is
	proves bool              // it has given a proof: it is never asked in the older way again
	right  home.Secret       // what firmware that proves nothing has taken
	wrong  map[home.Secret]time.Time
}

// wrongTime is for how long a password is not tried again that firmware which proves nothing did not take.
const wrongTime = 24 * time.Hour

// New checks o.
func New(o Options) (*Driver, error) {
	var errs []error
	if o.Budget == nil {
		errs = append(errs, errors.New("tapocam: budget is needed"))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("tapocam: timeout is not negative"))
	}
	return &Driver{o: o, memos: map[home.DeviceID]memo{}}, errors.Join(errs...)
}

func (d *Driver) recall(id home.DeviceID) memo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memos[id]
}

func (d *Driver) note(id home.DeviceID, f func(*memo)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.memos[id]
	f(&m)
	d.memos[id] = m
}

// Probe finds which password the camera holds. It returns home.ErrBudget where that would cost a sign-in that is not to be spent now.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	t := d.talk(dev)
	defer t.line.Close()
	e, err := t.open(ctx, c.Account, order(keyring.Passwords(c), c.Recorded), c.Recorded != 0)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	if errors.Is(err, home.ErrBudget) {
		if e.session == nil && !e.held.hash.IsZero() && t.familiar() {
			e.aside = "enough sign-ins were tried for now: it is known again by its certificate"
			f.Match, f.Verdict = e.verdict()
			return f, nil
		}
		return f, fmt.Errorf("probe: %w", err)
	}
	if err != nil {
		if errors.Is(err, home.ErrForeign) {
			f.Match = home.Foreign
		}
		if errors.Is(err, errOlder) {
			f.Rank = home.HashFirst
		}
		f.Verdict = verdictOf(err)
		return f, nil
	}
	defer e.session.forget()
	who, err := e.session.who(ctx)
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case err != nil:
		f.Verdict = verdictOf(err)
		return f, nil
	case !who.is(dev):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
		return f, nil
	}
	t.acquaint()
	f.Device = who.describe(dev)
	if e.session.seal == nil {
		f.Rank = home.HashFirst // its firmware received the hash and proved nothing
	}
	f.Match, f.Verdict = e.verdict()
	return f, nil
}

// order puts what the device was last seen to hold first.
func order(keys []keyring.Key, recorded home.Epoch) []keyring.Key {
	slices.SortStableFunc(keys, func(a, b keyring.Key) int {
		first := func(k keyring.Key) int {
			if recorded != 0 && k.Verdict.Epoch == recorded {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return keys
}

// verdictOf says what an error of a camera means. The error is not of this side.
func verdictOf(err error) home.Verdict {
	if l, ok := errors.AsType[lockedError](err); ok {
		until := time.Now().UTC().Add(l.left).Round(time.Second)
		return home.Verdict{State: home.LockedOut, Until: until, Detail: "it has had too many wrong sign-ins"}
	}
	switch {
	case errors.Is(err, home.ErrForeign):
		return home.Verdict{State: home.ForeignHeld, Detail: "it says that it belongs to another account"}
	case errors.Is(err, errNone):
		return home.Verdict{State: home.Mismatch, Detail: "it holds none of the passwords that are known here"}
	case errors.Is(err, errWrong):
		return home.Verdict{State: home.Mismatch, Detail: "it does not take the password that it holds"}
	case errors.Is(err, errThirdParty):
		return home.Verdict{State: home.ThirdPartyOff, Detail: "its app lets no other program in"}
	case errors.Is(err, errOlder):
		return home.Verdict{State: home.Unsupported, Detail: "its firmware asks for a password without proving that it is the camera, and passwords may not go in the clear"}
	case errors.Is(err, errBlind):
		return home.Verdict{State: home.Unsupported, Detail: "its firmware does not tell how many wrong sign-ins it has counted: none is risked"}
	case errors.Is(err, errAnswer):
		return home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
	}
	return home.Verdict{State: home.Unreachable, Detail: "port 443 does not answer"}
}
