// Package smart has the drivers for devices that take SMART commands: Tapo plugs, switches and bulbs, and newer Kasa ones. Facts and
// their sources: devices/PROTOCOLS.md, sections 7 to 9. Nothing of it was ever tried on a device. Driver is for those over KLAP version 2, AES for
// those of before.
//
// A device over KLAP proves what it holds before anything is told to it: its first answer is compared with every credential of the vault, by
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
	"github.com/rekeyd/rekeyd/devices/passthrough"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are what New checks. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one question and its answer; 5 s when zero
}

// Driver speaks to devices over KLAP. It is safe for use by several goroutines.
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
	switch {
	case !ok && dev.Claims(c.Account.Email) == home.Foreign:
		f.Match, f.Verdict = home.Foreign, verdictOf(home.ErrForeign)
		return f, nil
	case !ok:
		f.Verdict = verdictOf(errNone)
		return f, nil
	}
	who, err := d.identify(ctx, l, g, found, dev, trust)
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case err != nil:
		f.Verdict = verdictOf(err)
		return f, nil
	}
	f.Device = who.describe(dev)
	f.Match, f.Verdict = meaning(found.Key)
	return f, nil
}

// meaning is whose a device is that holds the key, and its verdict.
func meaning(k keyring.Key) (home.Match, home.Verdict) {
	m, v := home.Ours, k.Verdict
	switch v.State {
	case home.Default, home.Blank:
		m = home.Unbound
	case home.WrongCase:
		v.Detail = "it was set up with the account's e-mail address in lower case"
	}
	return m, v
}

// verdictOf says what an error of a device means. The error is not of this side.
func verdictOf(err error) home.Verdict {
	switch {
	case errors.Is(err, home.ErrForeign):
		return home.Verdict{State: home.ForeignHeld, Detail: "it says that it belongs to another account"}
	case errors.Is(err, errAnother):
		return home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
	case errors.Is(err, errTrusting):
		return home.Verdict{State: home.Unsupported, Detail: "it asks for a password without proving who it is, and passwords may not go in the clear"}
	case errors.Is(err, klap.ErrForbidden), errors.Is(err, passthrough.ErrForbidden):
		return home.Verdict{State: home.ThirdPartyOff, Detail: "its app lets no other program in"}
	case errors.Is(err, passthrough.ErrMoved):
		return home.Verdict{State: home.Unreachable, Detail: "its firmware speaks another protocol now: it is known again when it is next found"}
	case errors.Is(err, passthrough.ErrAgain), errors.Is(err, passthrough.ErrEnded):
		return home.Verdict{State: home.Unreachable, Detail: "it answers, and could not do it just now"}
	case errors.Is(err, klap.ErrOther), errors.Is(err, passthrough.ErrOther), errors.Is(err, errAnswer):
		return home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
	case errors.Is(err, errNone):
		return home.Verdict{State: home.Mismatch, Detail: "it holds none of the credentials that are known here"}
	case errors.Is(err, home.ErrNotOpened):
		return home.Verdict{State: home.Mismatch, Detail: "it does not take the credential that it holds"}
	}
	return home.Verdict{State: home.Unreachable, Detail: "it does not answer"}
}

var (
	errAnother = errors.New("another device answers at its address")
	errNone    = errors.New("it holds none of the credentials that are known here")
)

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
