// Package drivertest is the suite that every driver of rekeyd has to pass, together with the fake devices of its
// protocol. Only tests import it.
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Driver is the engine's edge to a driver: daemon.Driver.
type Driver interface {
	Probe(context.Context, home.Device, home.Candidates) (home.Finding, error)
	Rekey(context.Context, home.Device, home.Move) error
}

// Device is a fake device of the driver's protocol. It is on, and reachable over TCP on loopback.
type Device interface {
	Seen() home.Device // as the roster has it after discovery
	// Hold makes it hold nothing (home.Blank), the account's credential before the newest (home.Stale), or another
	// account's (home.ForeignHeld).
	Hold(home.State)
	// Holds returns what the device truly holds, by other means than the driver's: one of the three, or home.Current
	// for the newest.
	Holds() home.State
	// PowerOff ends all goroutines that PowerOn has started.
	PowerOff()
	PowerOn() error
}

// Opener is a Device whose driver encrypts requests under a key that only the conversation has. Every such device has
// to be one.
type Opener interface {
	// Opened has the device hand each request to a function, decrypted, before it answers; nil ends that.
	Opened(to func(request []byte))
}

// Subject is a driver and its world.
type Subject struct {
	// New returns a new driver and n devices, which are on and answer, and are gone when the test ends.
	New func(t *testing.T, n int) (Driver, []Device)
	// Candidates are the account's, of two epochs or more, the newest first. Recorded is filled in.
	Candidates func() home.Candidates
	// Silent is a protocol without a statement of the owner: another account's device is found a mismatch, and does not
	// open.
	Silent bool
	// Secretless is a driver that never sends a password, in whatever form: its devices fetch it elsewhere.
	Secretless bool
	// Ordered is a driver that moves a device only when its owner ordered a try, and never one without an owner: a
	// blank device stays blank.
	Ordered bool
	// Reports is what a device of the account is found to be by a driver that only reports, and moves nothing.
	// It is empty for a driver that moves devices.
	Reports home.State
}

// check is one promise. It returns an error where the driver breaks it.
type check struct {
	name string
	run  func(*bench) error
}

// bench is where one promise is checked.
type bench struct {
	Driver
	devices []Device
	c       home.Candidates
	silent  bool
	reports home.State
	try     bool
	without bool // Subject.Secretless
}

// Run checks every promise, each with a new driver and new devices.
func Run(t *testing.T, s Subject) {
	all := checks
	switch {
	case s.Reports != "":
		all = reporting
	case s.Ordered:
		all = ordered
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			d, devices := s.New(t, 3)
			if err := c.on(s, d, devices); err != nil {
				t.Error(err)
			}
		})
	}
}

// on runs the check, and checks that no goroutine is left behind and no secret was disclosed.
func (c check) on(s Subject, d Driver, devices []Device) error {
	all := s.Candidates()
	for _, v := range devices {
		v.PowerOff()
	}
	before := goleak.IgnoreCurrent()
	for _, v := range devices {
		if err := v.PowerOn(); err != nil {
			return err
		}
		v.Hold(home.Stale)
	}
	all.Recorded, all.Terms = all.Credentials[1].Epoch, home.Terms{Bound: true, Cleartext: true}
	w := &witness{Driver: d, c: all}
	err := c.run(&bench{
		Driver: w, devices: devices, c: all, silent: s.Silent, reports: s.Reports, try: s.Ordered, without: s.Secretless,
	})
	for _, v := range devices {
		v.PowerOff() // so that only the driver can have left something
	}
	if leak := goleak.Find(before); leak != nil {
		err = errors.Join(err, fmt.Errorf("left behind: %w", leak))
	}
	return errors.Join(err, w.disclosed())
}

func (b *bench) move() home.Move {
	return home.Move{
		Account: b.c.Account, From: b.c.Credentials[1], To: b.c.Credentials[0], Terms: b.c.Terms, Try: b.try,
		DevicePassword: b.c.DevicePassword, Accepted: b.c.Accepted,
	}
}

// limit is how long one call may take here.
const limit = 30 * time.Second

// probe probes the i-th device.
func (b *bench) probe(i int) (home.Finding, error) {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	f, err := b.Probe(ctx, b.devices[i].Seen(), b.c)
	if err != nil {
		return f, fmt.Errorf("probe of device %d: %w", i, err)
	}
	return f, nil
}

func (b *bench) rekey(i int) error {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	return b.Rekey(ctx, b.devices[i].Seen(), b.move())
}

// found checks the finding of a probe of the i-th device, and that the probe changes nothing.
func (b *bench) found(i int, m home.Match, states ...home.State) error {
	was := b.devices[i].Holds()
	f, err := b.probe(i)
	if err != nil {
		return err
	}
	if now := b.devices[i].Holds(); now != was {
		return fmt.Errorf("a probe changed the device: %s, now %s", was, now)
	}
	if f.Match != m {
		return fmt.Errorf("device is %s, found %s", m, f.Match)
	}
	for _, s := range states {
		if f.Verdict.State != s {
			continue
		}
		if s == home.Current && f.Verdict.Epoch != b.c.Account.Epoch {
			return fmt.Errorf("current at epoch %d, want %d", f.Verdict.Epoch, b.c.Account.Epoch)
		}
		if s == home.Stale && f.Verdict.Epoch >= b.c.Account.Epoch {
			return fmt.Errorf("stale at epoch %d, which is the newest", f.Verdict.Epoch)
		}
		if id := b.devices[i].Seen().ID; f.Device.ID != id {
			return fmt.Errorf("found %s, asked %s", f.Device.ID, id)
		}
		return nil
	}
	return fmt.Errorf("found %s, want %s", f.Verdict.State, states)
}

// hold checks which credential the i-th device truly holds.
func (b *bench) hold(i int, s home.State) error {
	if now := b.devices[i].Holds(); now != s {
		return fmt.Errorf("device %d holds %s, want %s", i, now, s)
	}
	return nil
}

// listen accepts connections, answers each by serve, and keeps them open until stop.
func listen(serve func(net.Conn)) (addr netip.AddrPort, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return addr, nil, err
	}
	var all sync.WaitGroup
	all.Go(func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			open = append(open, c)
			all.Go(func() { serve(c) })
		}
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), func() { _ = l.Close(); all.Wait() }, nil
}

// witness records the findings and errors of a driver, and searches them for secrets.
type witness struct {
	Driver
	c     home.Candidates
	mu    sync.Mutex // guards texts
	texts []string
}

// Probe records finding and error, to be searched for secrets.
func (w *witness) Probe(ctx context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	f, err := w.Driver.Probe(ctx, d, c)
	w.record(fmt.Sprintf("%+v %v", f, err))
	return f, err
}

// Rekey records the error, to be searched for secrets.
func (w *witness) Rekey(ctx context.Context, d home.Device, m home.Move) error {
	err := w.Driver.Rekey(ctx, d, m)
	w.record(fmt.Sprint(err))
	return err
}

func (w *witness) record(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, s)
}

// disclosed returns an error where a recorded text has a password, an epoch secret or the account's address in it.
func (w *witness) disclosed() error {
	for _, s := range w.texts {
		for _, c := range w.c.Credentials {
			for _, secret := range []home.Secret{c.Password, c.EpochSecret} {
				if !secret.IsZero() && strings.Contains(s, secret.Reveal()) {
					return errors.New("a finding or an error discloses a secret")
				}
			}
		}
		if w.c.Account.Email != "" && strings.Contains(s, w.c.Account.Email) {
			return errors.New("a finding or an error discloses the account's e-mail address")
		}
	}
	return nil
}
