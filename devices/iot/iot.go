// Package iot is the driver for Kasa devices of the first generation: XOR on port 9999, JSON inside; and for those that take the same commands
// behind KLAP: see KLAP. Facts and their sources: devices/PROTOCOLS.md, section 4.
//
// The protocol on port 9999 knows no login. Whoever is on the LAN can ask such a device whose it is, and bind it; nobody can ask which
// password it holds, and the password goes to it as good as in the clear. What follows from that:
//
//   - "Current" rests on the device's word that it is bound to the account, and on this hub's own memory of what it bound
//     the device with: the ledger's, or in the moment after a rekey the driver's.
//   - A device that took the newest password while its cloud could not be reached (-21: stored, and tried later, as far as is
//     known) is pending until it was seen connected, whatever it says of being bound meanwhile. After ten minutes it is bound again.
//   - A device that has been current, and is not connected to its cloud now, stays current: to bind it again would take from it
//     what it has, and without the internet it could not be given it back. The verdict's detail says that it is not connected.
package iot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what New checks. The zero Options serve.
type Options struct {
	Timeout     time.Duration // for one question and its answer; 5 s when zero
	BindTimeout time.Duration // for a bind, while which the device signs in to its cloud; 20 s when zero
	BusyPause   time.Duration // before a device that runs another command is asked again; 1 s when zero
}

// busyTries is how often a device that runs another command is asked.
const busyTries = 5

// pendingTime is how long a device that could not reach its cloud is left to sign in by itself before it is bound again.
const pendingTime = 10 * time.Minute

// Driver speaks to devices. It is safe for use by several goroutines.
type Driver struct {
	o    Options
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex // guards bound
	bound map[home.DeviceID]bond
}

// bond is what this driver last bound a device with. It bridges the time until the ledger has it.
type bond struct {
	account home.AccountID
	epoch   home.Epoch
	offline bool // the device took it, and could not reach its cloud to try it
	at      time.Time
}

// waits tells whether the device is left alone to sign in by itself: not with what is out of date.
func (b bond) waits(newest home.Epoch) bool {
	return b.offline && b.epoch >= newest && time.Since(b.at) < pendingTime
}

// New checks o.
func New(o Options) (*Driver, error) {
	o, err := o.complete()
	return &Driver{o: o, dial: new(net.Dialer).DialContext, bound: map[home.DeviceID]bond{}}, err
}

func (o Options) complete() (Options, error) {
	if o.Timeout < 0 || o.BindTimeout < 0 || o.BusyPause < 0 {
		return o, errors.New("iot: times are not negative")
	}
	o.Timeout, o.BindTimeout, o.BusyPause = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.BindTimeout, 20*time.Second), cmp.Or(o.BusyPause, time.Second)
	return o, nil
}

// Probe asks the device who it is and whose.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	t := d.talk(dev)
	defer t.close()
	s, err := t.ask(ctx)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	switch {
	case errors.Is(err, errAnswer):
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
		return f, nil
	case err != nil:
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "port 9999 does not answer"}
		return f, nil
	case !s.is(dev):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
		return f, nil
	}
	f.Device = s.describe(dev)
	f.Match, f.Verdict = d.judge(dev.ID, s, c)
	return f, nil
}

// judge turns what a device says into whose it is and what it holds.
func (d *Driver) judge(id home.DeviceID, s statement, c home.Candidates) (home.Match, home.Verdict) {
	b := d.bond(id, c.Account.ID)
	pending := home.Verdict{State: home.Pending, Detail: "it has the new password, and has not reached its cloud yet"}
	switch s.whose(c.Account.Email) {
	case home.Unknown:
		if s.cloud == nil {
			return home.Unknown, home.Verdict{State: home.Unsupported, Detail: "it has no cloud module that rekeyd knows"}
		}
		return home.Unknown, home.Verdict{State: home.Unasked}
	case home.Foreign:
		d.forget(id)
		return home.Foreign, home.Verdict{State: home.ForeignHeld}
	case home.Unbound:
		if b.waits(c.Account.Epoch) && strings.EqualFold(s.cloud.username, c.Account.Email) {
			return home.Ours, pending
		}
		d.forget(id)
		return home.Unbound, home.Verdict{State: home.Blank}
	}
	if b.offline && s.cloud.connected != 1 && c.Recorded < b.epoch {
		if b.waits(c.Account.Epoch) {
			return home.Ours, pending
		}
		b.epoch = 0 // it was never seen to hold that
	}
	held := max(c.Recorded, b.epoch)
	v := home.Verdict{State: home.Stale, Epoch: held}
	if held != 0 {
		v = v.Against(c.Account.Epoch)
	}
	var said []string
	if s.cloud.username != c.Account.Email {
		said = append(said, "it knows the account's e-mail address in other upper and lower case")
	}
	if s.cloud.connected != 1 {
		said = append(said, "it is not connected to its cloud now")
	}
	v.Detail = strings.Join(said, "; ")
	return home.Ours, v
}

// bond returns what the device was bound with for this account, the zero bond when that is not known.
func (d *Driver) bond(id home.DeviceID, a home.AccountID) bond {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b := d.bound[id]; b.account == a {
		return b
	}
	return bond{}
}

func (d *Driver) remember(id home.DeviceID, b bond) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b.at = time.Now()
	d.bound[id] = b
}

func (d *Driver) forget(id home.DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.bound, id)
}
