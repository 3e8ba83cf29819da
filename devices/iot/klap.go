package iot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/post"
)

// KLAP is the driver for devices that take the same commands behind KLAP, of either version (devices/PROTOCOLS.md, sections 3.1 and 7). They prove
// which credential they hold before anything is told to them, and nothing goes over the network in the clear.
//
// That such firmware takes cnCloud's commands behind KLAP, too, is a guess: nothing of it was ever tried on a device. So what a device
// answers to them counts for nothing; what it proves afterwards does. Each request asks one module: some firmware takes no more, and ends the
// session after each. It is safe for use by several goroutines.
type KLAP struct {
	o Options

	mu    sync.Mutex // guards what follows
	known map[home.DeviceID]place
	given map[home.DeviceID]bond // while the device's cloud could not be reached
}

// place is where a device was when it last said who it is.
type place struct {
	at   netip.AddrPort
	when time.Time
	is   statement
}

// trust is for how long a device is taken to be where it was: probes of that time are one question and one answer.
const trust = 10 * time.Minute

// NewKLAP checks o.
func NewKLAP(o Options) (*KLAP, error) {
	o, err := o.complete()
	return &KLAP{o: o, known: map[home.DeviceID]place{}, given: map[home.DeviceID]bond{}}, err
}

// chat is a conversation with one device.
type chat struct {
	*klap.Line
	d   *KLAP
	dev home.Device
}

// open begins a conversation in which each answer may take that long.
func (d *KLAP) open(dev home.Device, timeout time.Duration) *chat {
	return &chat{klap.Open(dev.Addr, post.Options{Timeout: timeout}), d, dev}
}

// enter signs in with the first of the keys that the device proves to hold.
func (c *chat) enter(ctx context.Context, keys []keyring.Key) (klap.Found, error) {
	g, err := c.Greet(ctx)
	if err != nil {
		return klap.Found{}, err
	}
	found, ok := g.Find(keys)
	if !ok {
		return found, fmt.Errorf("it holds none of the credentials that are known here: %w", home.ErrNotOpened)
	}
	return found, c.SignIn(ctx, g, found)
}

// command runs one command and returns what came of it; what it answers goes into `into`. It waits for a device that runs another.
func (c *chat) command(ctx context.Context, module, method string, args, into any) (reply, result, error) {
	request, err := json.Marshal(map[string]any{module: map[string]any{method: args}})
	if err != nil {
		return nil, result{}, fmt.Errorf("request: %w", errAnswer)
	}
	for try := 1; ; try++ {
		raw, err := c.Ask(ctx, request)
		if err != nil {
			return nil, result{}, err
		}
		got, err := parseReply(raw)
		if err != nil {
			return nil, result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		r, err := got.result(module, method, into)
		if err != nil {
			return nil, result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		if r.Code != codeBusy || try == busyTries {
			return got, r, nil
		}
		select {
		case <-ctx.Done():
			return nil, result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
		case <-time.After(c.d.o.BusyPause):
		}
	}
}

// ask asks the device who it is and whose.
func (c *chat) ask(ctx context.Context) (statement, error) {
	all, r, err := c.command(ctx, "system", "get_sysinfo", struct{}{}, nil)
	if err != nil {
		return statement{}, err
	}
	s, err := all.statement()
	if err != nil || r.Code != 0 {
		return statement{}, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnswer)
	}
	if !s.is(c.dev) {
		return statement{}, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnother)
	}
	module := plugCloud
	if s.kind == home.Bulb {
		module = bulbCloud
	}
	more, _, err := c.command(ctx, module, "get_info", struct{}{}, nil)
	if err != nil {
		return statement{}, err
	}
	maps.Copy(all, more)
	if s, err = all.statement(); err != nil {
		return statement{}, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	c.d.mu.Lock()
	c.d.known[c.dev.ID] = place{c.dev.Addr, time.Now(), s}
	c.d.mu.Unlock()
	return s, nil
}

var errAnother = errors.New("another device answers at its address")

// Probe finds which credential the device holds.
func (d *KLAP) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	t := d.open(dev, d.o.Timeout)
	defer t.Close()
	g, err := t.Greet(ctx)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	if err != nil {
		f.Verdict = heldOf(err)
		return f, nil
	}
	found, ok := g.Find(keyring.Of(c))
	if !ok {
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "it holds none of the credentials that are known here"}
		return f, nil
	}
	s, err := d.identify(ctx, t, g, found)
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("probe: %w", ctx.Err())
	case err != nil:
		f.Verdict = heldOf(err)
		return f, nil
	}
	f.Device = s.describe(dev)
	f.Match, f.Verdict = d.judge(dev.ID, found.Key.Verdict, s, c)
	return f, nil
}

// identify learns who answers, by signing in, unless that was learned of the same address lately.
func (d *KLAP) identify(ctx context.Context, t *chat, g klap.Greeting, found klap.Found) (statement, error) {
	d.mu.Lock()
	p := d.known[t.dev.ID]
	d.mu.Unlock()
	if p.at == t.dev.Addr && time.Since(p.when) < trust {
		return p.is, nil
	}
	if err := t.SignIn(ctx, g, found); err != nil {
		return statement{}, err
	}
	return t.ask(ctx)
}

// judge turns what a device has proved, and what it says beside, into whose it is and what it holds.
func (d *KLAP) judge(id home.DeviceID, v home.Verdict, s statement, c home.Candidates) (home.Match, home.Verdict) {
	d.mu.Lock()
	b := d.given[id]
	d.mu.Unlock()
	switch {
	case v.State == home.Default || v.State == home.Blank:
		if b.account == c.Account.ID && b.waits(c.Account.Epoch) {
			return home.Ours, home.Verdict{State: home.Pending, Detail: "it was given the new password, and has not reached its cloud yet"}
		}
		if s.whose(c.Account.Email) == home.Foreign {
			return home.Foreign, home.Verdict{State: home.ForeignHeld}
		}
		return home.Unbound, v
	case v.State == home.WrongCase:
		v.Detail = "it was set up with the account's e-mail address in other upper and lower case"
	case s.cloud != nil && s.cloud.connected != 1:
		v.Detail = "it is not connected to its cloud now"
	}
	return home.Ours, v
}

// heldOf says what an error of a device means. The error is not of this side.
func heldOf(err error) home.Verdict {
	switch {
	case errors.Is(err, klap.ErrForbidden):
		return home.Verdict{State: home.ThirdPartyOff, Detail: "its app lets no other program in"}
	case errors.Is(err, errAnother):
		return home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
	case errors.Is(err, klap.ErrOther), errors.Is(err, errAnswer):
		return home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
	case errors.Is(err, home.ErrNotOpened):
		return home.Verdict{State: home.Mismatch, Detail: "it does not take the credential that it holds"}
	}
	return home.Verdict{State: home.Unreachable, Detail: "it does not answer"}
}

// Talk passes an app's request on to the device and returns its answer.
func (d *KLAP) Talk(ctx context.Context, dev home.Device, c home.Candidates, request []byte) ([]byte, error) {
	t := d.open(dev, d.o.BindTimeout)
	defer t.Close()
	if _, err := t.enter(ctx, keyring.Of(c)); err != nil {
		return nil, err
	}
	if _, err := t.ask(ctx); err != nil {
		return nil, err
	}
	return t.Ask(ctx, request)
}

// username is the e-mail address that goes with a credential.
func username(a home.Account, c home.Credential) string { return cmp.Or(c.Username, a.Email) }
