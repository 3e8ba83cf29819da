package tpap_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const email = "ann@example.org"

var (
	oldPair = home.Credential{Epoch: 4, Username: email, Password: home.NewSecret("old-password")}
	newPair = home.Credential{Epoch: 5, Username: email, Password: home.NewSecret("new-password")}
	ann     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	both    = home.Candidates{
		Account: ann, Credentials: []home.Credential{newPair, oldPair}, Recorded: 4, Terms: home.Terms{Bound: true},
	}
	order = home.Move{Account: ann, From: oldPair, To: newPair, Terms: both.Terms, Try: true}
)

// play runs devices until the test ends.
func play(t *testing.T, specs ...sim.Spec) []*sim.Device {
	t.Helper()
	h, err := sim.New(sim.Options{Log: slog.New(slog.DiscardHandler)}, specs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); run.Wait() })
	return h.Devices()
}

func driver(t *testing.T, on *drivertest.Disk) *tpap.Driver {
	t.Helper()
	d, err := tpap.New(tpap.Options{Budget: on, Memory: on, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seen returns the device as discovery reports it, without its further statements.
func seen(d *sim.Device) home.Device {
	return home.Device{
		ID: d.ID(), Kind: d.Kind(), Protocol: home.TPAP, Addr: d.Addr(),
		Keys: []string{strings.Replace(string(d.ID()), "-", ":", 1)},
	}
}

func expect(t *testing.T, f home.Finding, err error, m home.Match, s home.State, epoch home.Epoch) {
	t.Helper()
	v := f.Verdict
	if err != nil || f.Match != m || v.State != s || v.Epoch != epoch {
		t.Errorf("found %s, %s %d (%s), %v; want %s, %s %d", f.Match, v.State, v.Epoch, v.Detail, err, m, s, epoch)
	}
}

// patient is the driver of a caller that probes again where one candidate was refused and others are left.
type patient struct{ *tpap.Driver }

func (d patient) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f, err := d.Driver.Probe(ctx, dev, c)
	for n := 1; errors.Is(err, home.ErrBudget) && n < len(c.Credentials); n++ {
		f, err = d.Driver.Probe(ctx, dev, c)
	}
	return f, err
}

func (d patient) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	err := d.Driver.Rekey(ctx, dev, m)
	if errors.Is(err, home.ErrBudget) {
		err = d.Driver.Rekey(ctx, dev, m)
	}
	return err
}

// subject is a simulated device as drivertest wants it.
type subject struct{ *sim.Device }

func (s subject) Seen() home.Device { return seen(s.Device) }

func (s subject) Hold(state home.State) {
	switch state {
	case home.Blank:
		s.Device.Hold("", home.Secret{})
	case home.Stale:
		s.Device.Hold(email, oldPair.Password)
	case home.ForeignHeld:
		s.Device.Hold("bob@example.org", home.NewSecret("bobs"))
	}
}

func (s subject) Holds() home.State {
	switch {
	case s.Username() == "":
		return home.Blank
	case s.Device.Holds(email, oldPair.Password):
		return home.Stale
	case s.Device.Holds(email, newPair.Password):
		return home.Current
	case s.Device.Holds("bob@example.org", home.NewSecret("bobs")):
		return home.ForeignHeld
	}
	return home.Mismatch
}

func TestDriverKeepsThePromisesOfOneThatMovesByOrder(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, kind := range []home.Kind{home.Plug, home.Camera} {
		t.Run(string(kind), func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Ordered: true, Silent: true,
				Candidates: func() home.Candidates { return both },
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					specs := make([]sim.Spec, n)
					for i := range specs {
						specs[i] = sim.Spec{Kind: kind, Protocol: home.TPAP, Username: email, Password: oldPair.Password, Locks: 100}
					}
					var all []drivertest.Device
					d := patient{driver(t, drivertest.NewDisk())}
					for _, s := range play(t, specs...) {
						// Once each answers, every goroutine of the house runs.
						f, err := d.Probe(t.Context(), seen(s), home.Candidates{})
						if err != nil || f.Verdict.State != home.ThirdPartyOff {
							t.Fatal(f, err)
						}
						all = append(all, subject{s})
					}
					return d, all
				},
			})
		})
	}
}

// device is one simulated device that holds the old password, unless change replaces it.
func device(t *testing.T, kind home.Kind, defects ...sim.Defect) *sim.Device {
	t.Helper()
	s := sim.Spec{Kind: kind, Protocol: home.TPAP, Username: email, Password: oldPair.Password, Defects: defects}
	return play(t, s)[0]
}

// wrongs checks how many wrong sign-ins a device has counted.
func wrongs(t *testing.T, d *sim.Device, want int) {
	t.Helper()
	if got, _ := d.SignIns(); got != want {
		t.Errorf("the device counted %d wrong sign-ins, want %d", got, want)
	}
}

func TestOneCredentialAProbeTheNewestFirst(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	on, d := drivertest.NewDisk(), device(t, home.Plug)
	if _, err := driver(t, on).Probe(t.Context(), seen(d), both); !errors.Is(err, home.ErrBudget) {
		t.Fatalf("the newest is tried first, and it alone: got %v", err)
	}
	wrongs(t, d, 1)
	f, err := driver(t, on).Probe(t.Context(), seen(d), both) // another process: what was refused is on disk
	expect(t, f, err, home.Ours, home.Stale, 4)
	if f.ProofRank() != home.ProvesFirst || f.Device.Model != "P110M" {
		t.Errorf("rank %s, model %q", f.ProofRank(), f.Device.Model)
	}
	// After the next reset the device is opened with what it accepted: nothing is counted.
	later := both
	third := home.Credential{Epoch: 6, Username: email, Password: home.NewSecret("third")}
	later.Credentials = []home.Credential{third, newPair, oldPair}
	later.Account.Epoch = 6
	f, err = driver(t, on).Probe(t.Context(), seen(d), later)
	expect(t, f, err, home.Ours, home.Stale, 4)
	wrongs(t, d, 1)
	// It was given the newest by its app: a new salt, so the newest is first again.
	d.Hold(email, home.NewSecret("third"))
	f, err = driver(t, on).Probe(t.Context(), seen(d), later)
	expect(t, f, err, home.Ours, home.Current, 6)
	wrongs(t, d, 1)
}

func TestRefusedCredentialsAreNotTriedAgain(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	on, d := drivertest.NewDisk(), device(t, home.Camera)
	d.Hold(email, home.NewSecret("changed in the app"))
	for range 5 {
		f, err := patient{driver(t, on)}.Probe(t.Context(), seen(d), both)
		expect(t, f, err, home.Unknown, home.Mismatch, 0)
	}
	wrongs(t, d, 2)
	if err := driver(t, on).Rekey(t.Context(), seen(d), order); !errors.Is(err, home.ErrNotOpened) {
		t.Errorf("rekey: got %v", err)
	}
	wrongs(t, d, 2)
	// A password that its owner remembers later was not refused yet.
	more := both
	remembered := home.Credential{Username: email, Password: home.NewSecret("changed in the app")}
	more.Credentials = []home.Credential{newPair, oldPair, remembered}
	f, err := driver(t, on).Probe(t.Context(), seen(d), more)
	expect(t, f, err, home.Ours, home.Stale, 0)
	// Another owner: the device was set up anew, also where its salt should stay.
	other := seen(d)
	other.Owner = home.OwnerOf(email)
	if _, err := driver(t, on).Probe(t.Context(), other, more); err != nil {
		t.Error(err)
	}
}

func TestUnboundAndForeignDevicesGetNoAttempt(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	on, d := drivertest.NewDisk(), device(t, home.Plug)
	d.Hold(email, home.NewSecret("changed in the app"))
	unbound := both
	unbound.Terms.Bound = false
	f, err := driver(t, on).Probe(t.Context(), seen(d), unbound)
	expect(t, f, err, home.Unknown, home.ThirdPartyOff, 0)
	foreign := seen(d)
	foreign.Owner = home.OwnerOf("bob@example.org")
	f, err = driver(t, on).Probe(t.Context(), foreign, both)
	expect(t, f, err, home.Foreign, home.ForeignHeld, 0)
	if err := driver(t, on).Rekey(t.Context(), foreign, order); !errors.Is(err, home.ErrForeign) {
		t.Errorf("rekey: got %v", err)
	}
	d.Hold("", home.Secret{})
	f, err = driver(t, on).Probe(t.Context(), seen(d), both)
	expect(t, f, err, home.Unbound, home.Blank, 0)
	wrongs(t, d, 0)
	if len(on.Spent)+len(on.Kept) != 0 {
		t.Errorf("%v was spent, %v is kept", on.Spent, on.Kept)
	}
}
