// Package nc is the driver for cameras of the NC class (NC200 to NC450): forms over HTTP, JSON answers. Facts and
// sources: devices/PROTOCOLS.md, section 12, read in the cameras' own web interface. It was never tried on a camera.
//
// Such a camera has two passwords: its own, which opens its web interface, and that of the account at the vendor's
// cloud, with which the camera signs in there by itself. This driver replaces the second one.
//
// A camera proves nothing before it receives either of them, and over TLS its certificate is self-made: any host that
// has its address receives both. So neither is sent without the owner's consent for this protocol at this address.
// Consequences:
//
//   - A camera does not show which password of the account it holds, only whether the cloud accepted it (connected) or
//     refused it. "Current" rests on a connected camera and on this hub's record of the epoch that it was bound with.
//   - The new password is sent only after the vendor's cloud has accepted it from this hub, and not a second time after
//     the camera reported that the cloud refused it: refused sign-ins lock the account.
//   - A camera is unbound only where its cloud has refused its password: one that works is never cut off.
package nc

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Memory keeps the sign-ins to a camera on disk. The verifier identifies the camera: see session.accepted.
type Memory interface {
	SignIns(home.DeviceID) (home.SignIns, error)
	SaveSignIns(home.DeviceID, home.SignIns) error
}

// Options are the options of New.
type Options struct {
	Budget      keyring.Budget // required
	Memory      Memory         // required
	Timeout     time.Duration  // for one request and its answer; 5 s when zero
	BindTimeout time.Duration  // for a bind, during which the camera signs in to its cloud; 30 s when zero
	Dial        post.Dial      // used instead of TCP, where given
}

// Driver speaks to cameras. It is safe for use by several goroutines.
type Driver struct {
	o     Options
	binds keyring.Memos[bindRecord]
	works keyring.Memos[home.Epoch] // the epoch that was sent to a camera which is not unbound: see errWorks
}

// bindRecord is the last bind of a camera by this driver. It bridges the time until the ledger has the epoch.
type bindRecord struct {
	account home.AccountID
	epoch   home.Epoch
	at      time.Time
}

// connectTime is how long a camera that took a password may take to sign in before it is bound again.
const connectTime = 10 * time.Minute

// New checks o.
func New(o Options) (*Driver, error) {
	var errs []error
	if o.Budget == nil || o.Memory == nil {
		errs = append(errs, errors.New("nc: budget and memory are required"))
	}
	if o.Timeout < 0 || o.BindTimeout < 0 {
		errs = append(errs, errors.New("nc: times are not negative"))
	}
	o.Timeout, o.BindTimeout = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.BindTimeout, 30*time.Second)
	return &Driver{o: o}, errors.Join(errs...)
}

// Probe recognises the camera without a password. Where the owner gave the camera's own one and allows it to be sent,
// it signs in and asks for owner and state.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev)
	defer conn.close()
	if err := conn.greet(ctx); err != nil {
		return failure.Finding(ctx, f, err)
	}
	if c.Account.Provider != home.TPLink {
		const detail = "it belongs to an account of TP-Link's cloud, and this hub follows another account"
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: detail}
		return f, nil
	}
	s, err := conn.signIn(ctx, c.Terms, c.DevicePassword)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	cloud, err := s.cloud(ctx)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = s.plate.Describe(dev)
	f.Match, f.Verdict = d.verdict(dev.ID, cloud, c)
	return f, nil
}

// verdict derives match and verdict from a camera's statement and its last bind.
func (d *Driver) verdict(id home.DeviceID, s cloudState, c home.Candidates) (home.Match, home.Verdict) {
	switch s.owner(c.Account.Email) {
	case home.Unbound:
		return home.Unbound, home.Verdict{State: home.Blank}
	case home.Foreign:
		return home.Foreign, home.Verdict{State: home.ForeignHeld}
	case home.Unknown:
		return home.Unknown, home.Verdict{State: home.Mismatch, Detail: "it does not state its owner"}
	}
	last := d.lastBind(id, c.Account.ID)
	epoch := max(c.Recorded, last.epoch)
	stale := home.Verdict{State: home.Stale, Epoch: epoch}
	if epoch >= c.Account.Epoch {
		stale.Epoch = 0 // it was bound with the newest: another one is in force at its cloud, or at the camera
	}
	switch {
	case s.status == refused:
		stale.Detail = "its cloud refuses the password that it holds"
		return home.Ours, stale
	case c.Recorded < last.epoch && s.status != connected && time.Since(last.at) < connectTime:
		const detail = "it has the new password, and has not signed in to its cloud yet"
		return home.Ours, home.Verdict{State: home.Pending, Detail: detail}
	case c.Recorded < last.epoch && s.status != connected:
		stale.Epoch = 0 // it was never seen to work with that
		if c.Recorded < c.Account.Epoch {
			stale.Epoch = c.Recorded
		}
		return home.Ours, stale
	case epoch != 0 && epoch == c.Account.Epoch:
		v := home.Verdict{State: home.Current, Epoch: epoch}
		if s.status != connected {
			v.Detail = "it is not connected to its cloud now"
		}
		return home.Ours, v
	}
	if s.status == connected {
		stale.Detail = "it is connected to its cloud, and does not reveal which password it holds"
	}
	return home.Ours, stale
}

// lastBind returns the last bind of the camera for this account, zero when there was none.
func (d *Driver) lastBind(id home.DeviceID, a home.AccountID) bindRecord {
	if b := d.binds.Of(id); b.account == a {
		return b
	}
	return bindRecord{}
}

// owner returns whose camera it is, as it states.
func (s cloudState) owner(email string) home.Match {
	switch {
	case !s.bound:
		return home.Unbound
	case s.username == "" || email == "":
		return home.Unknown
	case strings.EqualFold(s.username, email):
		return home.Ours
	}
	return home.Foreign
}
