package iot_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud takes one password, or is away.
type cloud struct {
	mu       sync.Mutex // guards the fields below
	password string
	down     bool
	slow     chan struct{} // a sign-in waits for it
}

func (c *cloud) SignIn(ctx context.Context, _ string, p home.Secret) error {
	c.mu.Lock()
	want, down, slow := c.password, c.down, c.slow
	c.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case down:
		return home.ErrUnavailable
	case p.Reveal() != want:
		return home.ErrCredential
	}
	return nil
}

func (c *cloud) set(f func(*cloud)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

const email = "ann@example.org"

var (
	oldPair = home.Credential{Epoch: 4, Username: email, Password: home.NewSecret("old-password")}
	newPair = home.Credential{Epoch: 5, Username: email, Password: home.NewSecret("new-password")}
	ann     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	both    = home.Candidates{
		Account: ann, Credentials: []home.Credential{newPair, oldPair}, Recorded: 4,
		Terms: home.Terms{Bound: true, Cleartext: true, Fresh: true},
	}
	move = home.Move{Account: ann, From: oldPair, To: newPair, Terms: both.Terms}
)

// house runs one device of each kind, which hold the old password, and returns them with their cloud, which takes the
// new.
func house(t *testing.T) (*cloud, []*sim.Device) {
	t.Helper()
	specs, err := sim.ParseCount("plug:iot=1,switch:iot=1,bulb:iot=1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range specs {
		specs[i].Username, specs[i].Password = email, oldPair.Password
	}
	c := &cloud{password: newPair.Password.Reveal()}
	return c, play(t, c, specs...)
}

// play runs simulated devices until the test ends.
func play(t *testing.T, c sim.Cloud, specs ...sim.Spec) []*sim.Device {
	t.Helper()
	return drivertest.Play(t, c, specs...)
}

func seen(d *sim.Device) home.Device { return drivertest.Seen(d) }

func probe(t *testing.T, d drivertest.Driver, dev home.Device, c home.Candidates) home.Finding {
	t.Helper()
	return drivertest.Probe(t, d, dev, c)
}

func expect(t *testing.T, f home.Finding, m home.Match, s home.State, e home.Epoch) {
	t.Helper()
	drivertest.Expect(t, f, m, s, e)
}

func driver(t testing.TB, o iot.Options) *iot.Driver {
	t.Helper()
	if o.BusyPause == 0 {
		o.BusyPause = time.Millisecond
	}
	d, err := iot.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRekeyMovesEveryKindAndIsSeenToHold(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	d := driver(t, iot.Options{})
	for _, s := range devices {
		dev := seen(s)
		f := probe(t, d, dev, both)
		expect(t, f, home.Ours, home.Stale, 4)
		if f.Device.ID != dev.ID || f.Device.Kind != s.Kind() || f.Device.Name != s.Name() || len(f.Device.Keys) != 2 ||
			f.Device.Model == "" {
			t.Errorf("identity %+v", f.Device)
		}
		if err := d.Rekey(t.Context(), dev, move); err != nil {
			t.Fatal(err)
		}
		if !s.Holds(email, newPair.Password) {
			t.Errorf("%s does not hold the new password", s.Name())
		}
		expect(t, probe(t, d, dev, both), home.Ours, home.Current, 5)
		// Another hub's driver, or this one's after a crash, has only the ledger to go by.
		expect(t, probe(t, driver(t, iot.Options{}), dev, both), home.Ours, home.Stale, 4)
		subject := both
		subject.Recorded = 5
		expect(t, probe(t, driver(t, iot.Options{}), dev, subject), home.Ours, home.Current, 5)
		// And with the next reset it is stale again, whatever the driver remembers.
		subject.Account.Epoch = 6
		expect(t, probe(t, d, dev, subject), home.Ours, home.Stale, 5)
	}
}

func TestBlankDeviceIsBoundAndForeignOneLeftAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	d := driver(t, iot.Options{})
	for _, s := range devices {
		dev := seen(s)
		s.Hold("", home.Secret{})
		expect(t, probe(t, d, dev, both), home.Unbound, home.Blank, 0)
		if err := d.Rekey(t.Context(), dev, move); err != nil || !s.Holds(email, newPair.Password) {
			t.Errorf("bind: %v", err)
		}
		expect(t, probe(t, d, dev, both), home.Ours, home.Current, 5)

		s.Hold("bob@example.org", home.NewSecret("bobs"))
		expect(t, probe(t, d, dev, both), home.Foreign, home.ForeignHeld, 0)
		if err := d.Rekey(t.Context(), dev, move); !errors.Is(err, home.ErrForeign) {
			t.Errorf("rekey of another's device: %v", err)
		}
		if !s.Holds("bob@example.org", home.NewSecret("bobs")) {
			t.Error("another's device was touched")
		}
		// What was bound before it was another's is no fact about it any more.
		s.Hold(email, oldPair.Password)
		expect(t, probe(t, d, dev, both), home.Ours, home.Stale, 4)
	}
}

func TestLetterCaseOfTheAccountIsShown(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	devices[0].Hold(strings.ToUpper(email), oldPair.Password)
	f := probe(t, driver(t, iot.Options{}), seen(devices[0]), both)
	expect(t, f, home.Ours, home.Stale, 4)
	if !strings.Contains(f.Verdict.Detail, "upper and lower case") ||
		strings.Contains(strings.ToLower(f.Verdict.Detail), email) {
		t.Errorf("detail %q", f.Verdict.Detail)
	}
}

func TestDeviceWithoutInternetIsPendingUntilItSignsIn(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c, devices := house(t)
	s, d := devices[0], driver(t, iot.Options{})
	c.set(func(c *cloud) { c.down = true })
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrOffline) {
		t.Fatalf("rekey without internet: %v", err)
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Pending, 0)
	expect(t, probe(t, driver(t, iot.Options{}), seen(s), both), home.Unbound, home.Blank, 0)
	c.set(func(c *cloud) { c.down = false })
	for range 500 {
		if s.Holds(email, newPair.Password) {
			break
		}
		time.Sleep(10 * time.Millisecond) // the device's own pause
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Current, 5)
}

func TestRefusedPasswordGivesTheOldOneBack(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c, devices := house(t)
	s, d := devices[2], driver(t, iot.Options{})
	c.set(func(c *cloud) { c.password = oldPair.Password.Reveal() })
	err := d.Rekey(t.Context(), seen(s), move)
	if !errors.Is(err, home.ErrRefused) || !strings.Contains(err.Error(), "-20601") ||
		!strings.Contains(err.Error(), "the old one again") {
		t.Errorf("got %v", err)
	}
	if !s.Holds(email, oldPair.Password) {
		t.Error("it does not hold the old password again")
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Stale, 4)
	c.set(func(c *cloud) { c.password = "neither" })
	err = d.Rekey(t.Context(), seen(s), move)
	if !errors.Is(err, home.ErrRefused) || !strings.Contains(err.Error(), "nor did it take the old one") {
		t.Errorf("got %v", err)
	}
	for _, secret := range []string{"old-password", "new-password", "neither", email} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %v", secret, err)
		}
	}
	expect(t, probe(t, d, seen(s), both), home.Unbound, home.Blank, 0)
}
