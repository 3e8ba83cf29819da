package iot

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/post"
)

// KLAP is the driver for devices that take the same commands inside KLAP, of either version (devices/PROTOCOLS.md,
// sections 3.1 and 7). They prove which credential they hold before they receive anything secret, and nothing crosses
// the network in the clear.
//
// That such firmware takes the commands of cnCloud is a guess: none of it was ever tried on a device. So the answer to
// a command decides nothing; the proof afterwards does. Each request has one module: some firmware takes no more, and
// ends the session after each. KLAP is safe for use by several goroutines.
type KLAP struct {
	o        Options
	located  keyring.Memos[location]
	offlines keyring.Memos[bindRecord] // binds while the device's cloud was unreachable
}

// location is where a device was when it last identified itself.
type location struct {
	addr netip.AddrPort
	at   time.Time
	id   identity
}

// locationTime is how long a device is taken to be at its location: a probe within that time is one request and one
// answer.
const locationTime = 10 * time.Minute

// NewKLAP checks o.
func NewKLAP(o Options) (*KLAP, error) {
	o, err := o.complete()
	return &KLAP{o: o}, err
}

// klapConn is a conversation with one device.
type klapConn struct {
	*klap.Conn
	d   *KLAP
	dev home.Device
}

// connect begins a conversation in which each answer may take that long.
func (d *KLAP) connect(dev home.Device, timeout time.Duration) *klapConn {
	return &klapConn{klap.New(dev.Addr, post.Options{Timeout: timeout, Dial: d.o.Dial}), d, dev}
}

// signIn signs in with the first of the keys that the device proves to hold.
func (c *klapConn) signIn(ctx context.Context, keys []keyring.Key) (klap.Held, error) {
	p, err := c.Handshake(ctx)
	if err != nil {
		return klap.Held{}, err
	}
	held, ok := p.Match(keys)
	if !ok {
		return held, fmt.Errorf("%w: %w", home.ErrNotOpened, failure.ErrMismatch)
	}
	return held, c.SignIn(ctx, p, held)
}

// command runs one command and returns the whole reply and the result.
func (c *klapConn) command(ctx context.Context, module, method string, args any) (reply, result, error) {
	return runCommand(ctx, c.Exchange, c.d.o.BusyPause, module, method, args)
}

// identify asks the device for its identity and its owner. It returns failure.ErrOtherDevice where another one answers.
func (c *klapConn) identify(ctx context.Context) (identity, error) {
	all, r, err := c.command(ctx, "system", "get_sysinfo", struct{}{})
	if err != nil {
		return identity{}, err
	}
	id, err := all.identity()
	if err != nil || r.Code != 0 {
		return identity{}, failure.Unreachable(failure.ErrProtocol)
	}
	if err := id.check(c.dev); err != nil {
		return identity{}, err
	}
	module := plugCloud
	if id.Kind == home.Bulb {
		module = bulbCloud
	}
	more, _, err := c.command(ctx, module, "get_info", struct{}{})
	if err != nil {
		return identity{}, err
	}
	maps.Copy(all, more)
	if id, err = all.identity(); err != nil {
		return identity{}, failure.Unreachable(err)
	}
	c.d.located.Set(c.dev.ID, location{c.dev.Addr, time.Now(), id})
	return id, nil
}

// Probe finds which credential the device holds.
func (d *KLAP) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	conn := d.connect(dev, d.o.Timeout)
	defer conn.Close()
	p, err := conn.Handshake(ctx)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	held, ok := p.Match(keyring.Candidates(c))
	if !ok {
		return failure.Finding(ctx, f, failure.ErrMismatch)
	}
	id, err := d.locate(ctx, conn, p, held)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = id.Describe(dev)
	f.Match, f.Verdict = d.verdict(dev.ID, held.Key.Verdict, id, c)
	return f, nil
}

// locate returns the identity of the device: that of its location, or a new one by signing in.
func (d *KLAP) locate(ctx context.Context, c *klapConn, p klap.Proof, held klap.Held) (identity, error) {
	l := d.located.Of(c.dev.ID)
	if l.addr == c.dev.Addr && time.Since(l.at) < locationTime {
		return l.id, nil
	}
	if err := c.SignIn(ctx, p, held); err != nil {
		return identity{}, err
	}
	return c.identify(ctx)
}

// verdict derives match and verdict from a device's proof (v) and its statement.
func (d *KLAP) verdict(id home.DeviceID, v home.Verdict, i identity, c home.Candidates) (home.Match, home.Verdict) {
	b := d.offlines.Of(id)
	switch {
	case v.State == home.Default || v.State == home.Blank:
		if b.account == c.Account.ID && b.pending(c.Account.Epoch) {
			const detail = "it was given the new password, and has not reached its cloud yet"
			return home.Ours, home.Verdict{State: home.Pending, Detail: detail}
		}
		if i.owner(c.Account.Email) == home.Foreign {
			return home.Foreign, home.Verdict{State: home.ForeignHeld}
		}
		return home.Unbound, v
	case v.State == home.WrongCase:
		v.Detail = "it was set up with the account's e-mail address in other upper and lower case"
	case i.cloud != nil && i.cloud.connected != 1:
		v.Detail = "it is not connected to its cloud now"
	}
	return home.Ours, v
}

// Relay passes an app's request on to the device and returns its answer.
func (d *KLAP) Relay(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	conn := d.connect(dev, d.o.BindTimeout)
	defer conn.Close()
	held, err := conn.signIn(ctx, keyring.Candidates(c))
	if err != nil {
		return nil, err
	}
	if err := c.Terms.Permit(home.Proved(held.Key.Verdict)); err != nil {
		return nil, err // the request may have a secret in it
	}
	if _, err := conn.identify(ctx); err != nil {
		return nil, err
	}
	return conn.Exchange(ctx, request)
}
