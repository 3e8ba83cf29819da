// Package smart is the driver for devices that take SMART commands over KLAP version 2: Tapo plugs, switches and bulbs, and newer Kasa
// ones. Facts and their sources: tp-link-devices.md, 2.4 and 2.6. Nothing of it was ever tried on a device.
//
// Such a device proves what it holds before anything is told to it: its first answer is compared with every credential of the vault, by
// both versions' formulas, without a login. Where one matches it is signed in to, to learn who it is: a credential proves an account,
// not a device.
package smart

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are what New checks. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one question and its answer; 5 s when zero
}

// Driver speaks to devices. It is safe for use by several goroutines.
type Driver struct {
	o Options

	mu    sync.Mutex // guards known
	known map[home.DeviceID]place
}

// place is where a device was when it last said who it is.
type place struct {
	at   netip.AddrPort
	when time.Time
	is   identity
}

// trust is for how long a device is taken to be where it was: probes of that time are one question and one answer.
const trust = 10 * time.Minute

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Timeout < 0 {
		return nil, errors.New("smart: timeout is not negative")
	}
	return &Driver{o: o, known: map[home.DeviceID]place{}}, nil
}

func (d *Driver) open(dev home.Device) *klap.Line {
	return klap.Open(dev.Addr, post.Options{Timeout: d.o.Timeout})
}

// Probe finds which credential the device holds.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	l := d.open(dev)
	defer l.Close()
	g, err := l.Greet(ctx)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	if err != nil {
		f.Verdict = verdictOf(err)
		return f, nil
	}
	found, ok := g.Find(keyring.Of(c))
	if !ok {
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "it holds none of the credentials that are known here"}
		return f, nil
	}
	who, err := d.identify(ctx, l, g, found, dev, trust)
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case errors.Is(err, errAnother):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
		return f, nil
	case err != nil:
		f.Verdict = verdictOf(err)
		return f, nil
	}
	f.Device = who.describe(dev)
	f.Match, f.Verdict = home.Ours, found.Key.Verdict
	if s := found.Key.Verdict.State; s == home.Default || s == home.Blank {
		f.Match = home.Unbound
	}
	if found.Key.Verdict.State == home.WrongCase {
		f.Verdict.Detail = "it was set up with the account's e-mail address in lower case"
	}
	return f, nil
}

// verdictOf says what an error of a device means. The error is not of this side.
func verdictOf(err error) home.Verdict {
	switch {
	case errors.Is(err, klap.ErrForbidden):
		return home.Verdict{State: home.ThirdPartyOff, Detail: "its app lets no other program in"}
	case errors.Is(err, klap.ErrOther), errors.Is(err, errAnswer):
		return home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
	case errors.Is(err, home.ErrNotOpened):
		return home.Verdict{State: home.Mismatch, Detail: "it does not take the credential that it holds"}
	}
	return home.Verdict{State: home.Unreachable, Detail: "it does not answer"}
}

var errAnother = errors.New("another device answers at its address")

// identify learns who answers, by signing in, unless that was learned of the same address lately.
func (d *Driver) identify(ctx context.Context, l *klap.Line, g klap.Greeting, found klap.Found, dev home.Device, lately time.Duration) (identity, error) {
	d.mu.Lock()
	p := d.known[dev.ID]
	d.mu.Unlock()
	if p.at == dev.Addr && time.Since(p.when) < lately {
		return p.is, nil
	}
	if err := l.SignIn(ctx, g, found); err != nil {
		return identity{}, err
	}
	who, err := askIdentity(ctx, l)
	if err == nil && !who.is(dev) {
		err = fmt.Errorf("%w: %w", home.ErrUnreachable, errAnother)
	}
	if err != nil {
		return identity{}, err
	}
	d.mu.Lock()
	d.known[dev.ID] = place{dev.Addr, time.Now(), who}
	d.mu.Unlock()
	return who, nil
}

// Talk passes an app's request on to the device: SMART commands, as its own app speaks them.
func (d *Driver) Talk(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	l := d.open(dev)
	defer l.Close()
	g, err := l.Greet(ctx)
	if err != nil {
		return nil, err
	}
	found, ok := g.Find(keyring.Of(c))
	if !ok {
		return nil, home.ErrNotOpened
	}
	if _, err := d.identify(ctx, l, g, found, dev, 0); err != nil {
		return nil, err
	}
	return l.Ask(ctx, request)
}
