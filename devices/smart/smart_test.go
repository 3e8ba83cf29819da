package smart_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/smart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const email = "Ann@example.org"

var (
	oldPair = home.Credential{Epoch: 4, Username: email, Password: home.NewSecret("old-password")}
	newPair = home.Credential{Epoch: 5, Username: email, Password: home.NewSecret("new-password")}
	ann     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	both    = home.Candidates{
		Account: ann, Credentials: []home.Credential{newPair, oldPair}, Terms: home.Terms{Bound: true},
	}
	move = home.Move{Account: ann, From: oldPair, To: newPair, Terms: both.Terms}
)

func plug(username, password string, defects ...sim.Defect) sim.Spec {
	return sim.Spec{
		Kind:     home.Plug,
		Protocol: home.KLAP2,
		Username: username,
		Password: home.NewSecret(password),
		Defects:  defects,
	}
}

// play runs simulated devices until the test ends.
func play(t *testing.T, specs ...sim.Spec) []*sim.Device {
	t.Helper()
	return drivertest.Play(t, nil, specs...)
}

func seen(d *sim.Device) home.Device { return drivertest.Seen(d) }

func driver(t *testing.T) *smart.Driver {
	t.Helper()
	d, err := smart.New(smart.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func expect(t *testing.T, d *smart.Driver, dev home.Device, m home.Match, s home.State, e home.Epoch) {
	t.Helper()
	f, err := d.Probe(t.Context(), dev, both)
	if err != nil {
		t.Fatal(err)
	}
	if f.Match != m || f.Verdict.State != s || f.Verdict.Epoch != e {
		t.Errorf("found %s, %s %d (%s); want %s, %s %d", f.Match, f.Verdict.State, f.Verdict.Epoch, f.Verdict.Detail, m, s, e)
	}
}

func TestDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, defects := range map[string][]sim.Defect{
		"firmware of today": nil, "a session for each request": {sim.OneRequest},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Silent:     true,
				Candidates: func() home.Candidates { return both },
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					var specs []sim.Spec
					for range n {
						specs = append(specs, plug(email, "old-password", defects...))
					}
					var all []drivertest.Device
					for _, d := range play(t, specs...) {
						all = append(all, drivertest.Simulated{Device: d, Old: oldPair, New: newPair})
					}
					return driver(t), all
				},
			})
		})
	}
}

func TestEachVerdictIsFound(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(
		t,
		plug(email, "new-password"),
		plug(email, "old-password"),
		plug(strings.ToLower(email), "old-password"),
		plug("test@tp-link.net", "test"),
		plug("kasa@tp-link.net", "kasaSetup"),
		sim.Spec{Kind: home.Bulb, Protocol: home.KLAP2},
		plug("bob@example.org", "bobs"),
		plug(email, "old-password", sim.ThirdPartyOff),
		plug(email, "old-password", sim.Garbled),
		plug(email, "old-password", sim.Impostor),
	)
	d := driver(t)
	for i, want := range []struct {
		match home.Match
		state home.State
		epoch home.Epoch
	}{
		{home.Ours, home.Current, 5},
		{home.Ours, home.Stale, 4},
		{home.Ours, home.WrongCase, 4},
		{home.Unbound, home.Default, 0},
		{home.Unbound, home.Default, 0},
		{home.Unbound, home.Blank, 0},
		{home.Unknown, home.Mismatch, 0},
		{home.Unknown, home.ThirdPartyOff, 0},
		{home.Unknown, home.Unreachable, 0},
		{home.Unknown, home.Mismatch, 0},
	} {
		expect(t, d, seen(ds[i]), want.match, want.state, want.epoch)
	}
}

func TestADeviceInTheWrongCaseIsMovedToTheRightOne(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, plug(strings.ToLower(email), "old-password"))[0]
	d := driver(t)
	if err := d.Rekey(t.Context(), seen(p), move); err != nil {
		t.Fatal(err)
	}
	if p.Username() != email || !p.Password().Equal(newPair.Password) {
		t.Errorf("it holds %s", p.Username())
	}
	expect(t, d, seen(p), home.Ours, home.Current, 5)
}

func TestAChangeUsesOnlyComponentsThatTheDeviceLists(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(
		t, plug(email, "old-password", sim.Bare), plug(email, "old-password", sim.Stubborn), plug(email, "old-password"),
	)
	d := driver(t)
	for i, want := range []error{home.ErrRefused, home.ErrRefused, nil} {
		if err := d.Rekey(t.Context(), seen(ds[i]), move); !errors.Is(err, want) {
			t.Errorf("device %d: %v, want %v", i, err, want)
		}
	}
	if ran := ds[0].Commands(); slices.Contains(ran, "set_qs_info") {
		t.Errorf("a device that lists no account ran %q", ran)
	}
	for _, p := range ds {
		if slices.Contains(p.Commands(), "joined another network") {
			t.Error("a device joined another network")
		}
	}
	if !ds[1].Password().Equal(oldPair.Password) {
		t.Error("the stubborn one has changed")
	}
}

func TestAProbeOfAKnownDeviceIsOneQuestion(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, plug(email, "old-password"))[0]
	d := driver(t)
	expect(t, d, seen(p), home.Ours, home.Stale, 4)
	was := len(p.Commands())
	for range 5 {
		expect(t, d, seen(p), home.Ours, home.Stale, 4)
	}
	if n := len(p.Commands()) - was; n != 0 {
		t.Errorf("%d commands were run, want none: the first handshake suffices", n)
	}
	moved := seen(p)
	moved.Addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.99"), 80)
	expect(t, d, moved, home.Unknown, home.Unreachable, 0)
}

// The owner that a device states is unproven: what it proves wins.
func TestADeviceOfAnotherOwnerThatProvesNothingIsForeign(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(t, plug("bob@example.org", "bobs"), plug(email, "old-password"))
	d := driver(t)
	for i, c := range []struct {
		match home.Match
		state home.State
		epoch home.Epoch
		err   error
	}{{home.Foreign, home.ForeignHeld, 0, home.ErrForeign}, {home.Ours, home.Stale, 4, nil}} {
		dev := seen(ds[i])
		dev.Owner = home.OwnerOf("bob@example.org")
		expect(t, d, dev, c.match, c.state, c.epoch)
		if err := d.Rekey(t.Context(), dev, move); !errors.Is(err, c.err) {
			t.Errorf("device %d: %v", i, err)
		}
	}
	if ds[0].Username() != "bob@example.org" {
		t.Error("another's device was changed")
	}
}
