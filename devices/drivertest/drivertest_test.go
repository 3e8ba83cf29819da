package drivertest

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// toy is a device that listens and states its identity; what it holds is asked and changed by its pointer. Its driver
// can be broken in the ways that the suite is there to find.
type toy struct {
	mu     sync.Mutex // guards the fields below
	name   home.DeviceID
	state  home.State
	l      net.Listener
	addr   string
	opened func([]byte)
}

// receive is a request in a session that no other host can read.
func (d *toy) receive(request string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened != nil {
		d.opened([]byte(request))
	}
}

func (d *toy) Opened(to func([]byte)) { d.mu.Lock(); d.opened = to; d.mu.Unlock() }

func (d *toy) PowerOn() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.l, err = net.Listen("tcp", d.addr); err != nil {
		return err
	}
	d.addr = d.l.Addr().String()
	l, name := d.l, d.name
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(name))
			_ = c.Close()
		}
	}()
	return nil
}

func (d *toy) PowerOff() { _ = d.l.Close() }

func (d *toy) Seen() home.Device {
	return home.Device{ID: d.name, Keys: []string{"rk:" + string(d.name)}, Addr: d.l.Addr().(*net.TCPAddr).AddrPort()}
}

func (d *toy) Hold(s home.State) { d.mu.Lock(); d.state = s; d.mu.Unlock() }

func (d *toy) Holds() home.State { d.mu.Lock(); defer d.mu.Unlock(); return d.state }

type toyDriver struct {
	world  map[string]*toy // by address
	broken string
}

// reach returns the device at the address, and whether it is the one that was meant.
func (d *toyDriver) reach(ctx context.Context, dev home.Device) (*toy, bool, error) {
	if d.broken == "deaf" {
		ctx = context.Background()
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", dev.Addr.String())
	if err != nil {
		return nil, false, home.ErrUnreachable
	}
	if d.broken == "leaky" {
		go func() { _, _ = c.Read(make([]byte, 1)); time.Sleep(time.Hour) }()
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	_ = c.SetDeadline(time.Now().Add(patience + 500*time.Millisecond))
	if d.broken == "hashing" {
		sum := sha1.Sum([]byte("new-password"))
		_, _ = fmt.Fprintf(c, "%X", sum[:])
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		return nil, false, home.ErrUnreachable
	}
	return d.at(dev), string(b[:n]) == string(dev.ID) || d.broken == "credulous" ||
		d.broken == "gullible" && b[0] == '{', nil
}

// at returns the device at the address; behind a recorder it is found by its ID.
func (d *toyDriver) at(dev home.Device) *toy {
	if t := d.world[dev.Addr.String()]; t != nil || d.broken == "gullible" {
		return t
	}
	for _, t := range d.world {
		if t.name == dev.ID {
			return t
		}
	}
	return nil
}

func (d *toyDriver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	t, same, err := d.reach(ctx, dev)
	switch {
	case err != nil && d.broken == "loud":
		return f, err
	case err != nil:
		f.Verdict.State = home.Unreachable
		return f, nil
	case !same:
		f.Verdict.State = home.Mismatch
		return f, nil
	}
	if t == nil { // gullible
		f.Match, f.Verdict = home.Ours, home.Verdict{State: home.Stale, Epoch: 4}
		return f, nil
	}
	f.Verdict = home.Verdict{State: t.Holds()}
	switch f.Verdict.State {
	case home.Blank:
		f.Match = home.Unbound
	case home.ForeignHeld:
		f.Match = home.Foreign
	case home.Stale:
		f.Match, f.Verdict.Epoch = home.Ours, 4
	case home.Current:
		f.Match, f.Verdict.Epoch = home.Ours, 5
	}
	switch d.broken {
	case "hopeful":
		f.Verdict = home.Verdict{State: home.Current, Epoch: 5}
	case "meddling":
		t.Hold(home.Current)
	case "whispering":
		t.receive("is it " + c.Credentials[0].Password.Reveal())
	case "talkative":
		f.Verdict.Detail = "it holds " + c.Credentials[0].Password.Reveal()
	}
	return f, nil
}

func (d *toyDriver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	t, same, err := d.reach(ctx, dev)
	switch {
	case err != nil:
		return err
	case !same, t == nil:
		return home.ErrUnreachable
	case t.Holds() == home.ForeignHeld && d.broken != "greedy":
		return home.ErrForeign
	case d.broken == "lazy":
		return nil
	}
	err = m.Terms.Permit(home.Evidence{Rank: home.ProvesFirst, Held: t.Holds()})
	trusts := d.broken == "trusting" && t.Holds() == home.Blank || d.broken == "greedy" || d.broken == "helpful" &&
		!m.Terms.Bound
	if err != nil && !trusts {
		return err
	}
	if d.broken != "hiding" {
		t.receive("it is " + m.To.Password.Reveal())
	}
	t.Hold(home.Current)
	return nil
}

func toys(t *testing.T, broken string) Subject {
	return Subject{
		Candidates: func() home.Candidates {
			return home.Candidates{
				Account: home.Account{ID: "a", Email: "ann@example.org", Epoch: 5},
				Credentials: []home.Credential{
					{Epoch: 5, Password: home.NewSecret("new-password")}, {Epoch: 4, Password: home.NewSecret("old-password")},
				},
			}
		},
		New: func(_ *testing.T, n int) (Driver, []Device) {
			d := &toyDriver{world: map[string]*toy{}, broken: broken}
			var all []Device
			for i := range n {
				v := &toy{name: home.DeviceID("rk-" + string(rune('a'+i))), addr: "127.0.0.1:0"}
				if err := v.PowerOn(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(v.PowerOff)
				d.world[v.addr] = v
				all = append(all, v)
			}
			return d, all
		},
	}
}

func TestGoodDriverPasses(t *testing.T) { Run(t, toys(t, "")) }

func TestBrokenDriversDoNotPass(t *testing.T) {
	for _, c := range []struct{ broken, want string }{
		{"hopeful", "found"},
		{"meddling", "a probe changed the device"},
		{"talkative", "discloses a secret"},
		{"greedy", "belongs to another account"},
		{"lazy", "holds stale"},
		{"trusting", "without its owner's consent"},
		{"helpful", "without its owner's consent"},
		{"hashing", "was sent a secret of epoch 5: SHA-1"},
		{"whispering", "was sent a secret of epoch 5: in the clear"},
		{"hiding", "was not recorded"},
		{"credulous", "found stale, want mismatch"},
		{"loud", "no error"},
		{"deaf", "after its context"},
		{"leaky", "left behind"},
		{"gullible", "where there is no device"},
	} {
		t.Run(c.broken, func(t *testing.T) {
			var errs []error
			for _, one := range checks {
				s := toys(t, c.broken)
				d, devices := s.New(t, 3)
				err := one.on(s, d, devices)
				if err != nil && strings.Contains(err.Error(), c.want) {
					return
				}
				errs = append(errs, err)
			}
			t.Errorf("got %v, want something of %q", errors.Join(errs...), c.want)
		})
	}
}

// orderedToys turns toys into a subject that moves by order only.
func orderedToys(t *testing.T, broken string) Subject {
	s := toys(t, "")
	made := s.New
	s.Ordered = true
	s.New = func(t *testing.T, n int) (Driver, []Device) {
		d, all := made(t, n)
		return &careful{*d.(*toyDriver), broken}, all
	}
	return s
}

// careful is a driver that moves by order only, and can be broken.
type careful struct {
	toyDriver
	broken string
}

func (d *careful) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f, err := d.toyDriver.Probe(ctx, dev, c)
	if !c.Terms.Bound && d.broken != "eager" && f.Match == home.Ours {
		f.Match, f.Verdict = home.Unknown, home.Verdict{State: home.ThirdPartyOff}
	}
	return f, err
}

func (d *careful) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	t, _, _ := d.reach(ctx, dev)
	blank := t != nil && t.Holds() == home.Blank
	if !m.Try && d.broken != "hasty" || blank && d.broken != "generous" {
		return &home.Error{Op: "rekey", Err: home.ErrRefused, Hint: "do it yourself"}
	}
	return d.toyDriver.Rekey(ctx, dev, m)
}

func TestGoodDriverThatMovesByOrderPasses(t *testing.T) { Run(t, orderedToys(t, "")) }

func TestBrokenDriversThatMoveByOrderDoNotPass(t *testing.T) {
	for broken, want := range map[string]string{
		"eager": "only a sign-in can show that", "hasty": "with a hint", "generous": "device refused the new credential",
	} {
		var errs []error
		for _, one := range ordered {
			s := orderedToys(t, broken)
			d, devices := s.New(t, 3)
			errs = append(errs, one.on(s, d, devices))
		}
		if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something of %q", broken, err, want)
		}
	}
}

// herald is a driver that only reports.
type herald struct {
	toyDriver
	broken string
}

func (d *herald) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f, err := d.toyDriver.Probe(ctx, dev, c)
	if f.Match == home.Ours && d.broken != "hopeful" {
		f.Verdict = home.Verdict{State: home.Unsupported}
	}
	if f.Match == home.Foreign && d.broken == "grasping" {
		f.Match, f.Verdict.State = home.Ours, home.Unsupported
	}
	return f, err
}

func (d *herald) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	switch d.broken {
	case "busy":
		return d.toyDriver.Rekey(ctx, dev, m)
	case "terse":
		return home.ErrRefused
	}
	return &home.Error{Op: "rekey", Err: home.ErrRefused, Hint: "do it yourself"}
}

func heralds(t *testing.T, broken string) Subject {
	s := toys(t, "")
	made := s.New
	s.Reports = home.Unsupported
	s.New = func(t *testing.T, n int) (Driver, []Device) {
		d, all := made(t, n)
		return &herald{*d.(*toyDriver), broken}, all
	}
	return s
}

func TestGoodHeraldPasses(t *testing.T) { Run(t, heralds(t, "")) }

func TestBrokenHeraldsDoNotPass(t *testing.T) {
	for broken, want := range map[string]string{
		"hopeful": "found stale", "grasping": "found ours", "busy": "no error", "terse": "with a hint",
	} {
		var errs []error
		for _, one := range reporting {
			s := heralds(t, broken)
			d, devices := s.New(t, 3)
			errs = append(errs, one.on(s, d, devices))
		}
		if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something of %q", broken, err, want)
		}
	}
}
