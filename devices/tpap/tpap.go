// Package tpap is the driver for devices whose firmware speaks TPAP. Facts and sources: devices/PROTOCOLS.md, section
// 11. It was never tried on a device.
//
// Nothing can be compared offline: a sign-in tries one credential, and the device counts it. So a probe tries one, of
// a bound device only; refusals are remembered; and none is sent to a device that would lock soon. What an attempt
// reveals to the host that answers is one guess: a false device can test with it whether that one password is the right
// one, and nothing else.
//
// No command is known that gives such a device another password. Those of the older protocols are tried when the
// owner orders it.
package tpap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Memory keeps the history of sign-ins to each device on disk.
type Memory interface {
	// SignIns returns the zero value for a device of which nothing is kept.
	SignIns(home.DeviceID) (home.SignIns, error)
	SaveSignIns(home.DeviceID, home.SignIns) error
}

// Options are the options of New.
type Options struct {
	Budget  keyring.Budget // required
	Memory  Memory         // required
	Timeout time.Duration  // for one request and its answer; 5 s when zero
	Dial    post.Dial      // used instead of TCP, where given
}

// Driver speaks to devices. It is safe for use by several goroutines.
type Driver struct {
	o         Options
	ended     keyring.Memos[time.Time] // when the last session with each device ended
	stretched keyring.Memos[stretched]
}

// New checks o.
func New(o Options) (*Driver, error) {
	var errs []error
	if o.Budget == nil || o.Memory == nil {
		errs = append(errs, errors.New("tpap: budget and memory are required"))
	}
	if o.Timeout < 0 {
		errs = append(errs, errors.New("tpap: timeout is not negative"))
	}
	return &Driver{o: o}, errors.Join(errs...)
}

// unspoken is the failure of a device that demands a form of the protocol which is a guess here. Its text names the
// demand.
type unspoken struct{ demand string }

func (u unspoken) Error() string { return "its firmware wants " + u.demand + ": not spoken here" }

func unspokenf(format string, args ...any) error { return unspoken{fmt.Sprintf(format, args...)} }

// errUnproved is the failure of a host that took a password and could not prove that it knows it: no device of the
// account.
var errUnproved = fmt.Errorf("it took the password without a proof that it holds it: %w", failure.ErrOtherDevice)

// Probe tries at most one credential. It returns home.ErrBudget where one was refused and others are left for later
// probes, and where none may be sent now.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev)
	defer conn.close()
	about, err := conn.discover(ctx)
	switch {
	case err != nil:
		return finding(ctx, f, err)
	case about.unprovisioned():
		f.Match, f.Device = home.Unbound, about.plate.Describe(dev)
		f.Verdict = home.Verdict{State: home.Blank, Detail: "it offers the sign-in of a device without an owner"}
		return f, nil
	case !c.Terms.Bound:
		f.Device = about.plate.Describe(dev)
		const detail = "its firmware speaks TPAP, and a device that is not bound is not signed in to"
		f.Verdict = home.Verdict{State: home.ThirdPartyOff, Detail: detail}
		return f, nil
	case dev.Claims(c.Account.Email) == home.Foreign:
		return finding(ctx, f, home.ErrForeign)
	}
	s, err := conn.signIn(ctx, about, conn.keys(c))
	if err != nil {
		return finding(ctx, f, err)
	}
	defer s.end()
	plate, err := s.identify(ctx)
	if err != nil {
		return finding(ctx, f, err)
	}
	f.Match, f.Device, f.Verdict = home.Ours, plate.Describe(dev), s.key.Verdict
	return f, nil
}

// finding is failure.Finding, with the demands of devices by their names.
func finding(ctx context.Context, f home.Finding, err error) (home.Finding, error) {
	if u, ok := errors.AsType[unspoken](err); ok && ctx.Err() == nil {
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: u.Error()}
		return f, nil
	}
	return failure.Finding(ctx, f, err)
}

// keys returns the credentials that the device may hold, the newest first. A camera has no user name of its own.
func (c *conn) keys(of home.Candidates) []keyring.Key {
	all := keyring.Candidates(of)
	if c.camera {
		all = keyring.CameraCandidates(of)
	}
	var known []keyring.Key
	for _, k := range all {
		if s := k.Verdict.State; s != home.Default && s != home.Blank { // the factory's is a passcode: section 11.4
			known = append(known, k)
		}
	}
	return known
}

// recentlyEnded reports whether a session of this driver with the device ended a moment ago: some take no sign-in
// then.
func (d *Driver) recentlyEnded(id home.DeviceID) bool {
	return time.Since(d.ended.Of(id)) < 2*rest
}

// stated reports whether a device stated who it is.
func stated(p nameplate.Plate) bool { return len(p.Keys) > 0 }
