package kasacam_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/kasacam"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const email = "ann@example.org"

var (
	oldPair = home.Credential{Epoch: 4, Username: email, Password: home.NewSecret("old-password")}
	newPair = home.Credential{Epoch: 5, Username: email, Password: home.NewSecret("new-password")}
	ann     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	both    = home.Candidates{Account: ann, Credentials: []home.Credential{newPair, oldPair}, Recorded: 4}
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

func driver(t *testing.T, o kasacam.Options) *kasacam.Driver {
	t.Helper()
	d, err := kasacam.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seen returns the device as discovery tells of it.
func seen(d *sim.Device) home.Device {
	return home.Device{ID: d.ID(), Protocol: home.KasaCam, Addr: d.Addr(), Keys: []string{strings.Replace(string(d.ID()), "-", ":", 1)}}
}

func probe(t *testing.T, d *kasacam.Driver, dev home.Device, c home.Candidates) home.Finding {
	t.Helper()
	f, err := d.Probe(t.Context(), dev, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func expect(t *testing.T, f home.Finding, m home.Match, s home.State) {
	t.Helper()
	if f.Match != m || f.Verdict.State != s || f.Verdict.Epoch != 0 {
		t.Errorf("found %s, %s %d (%s); want %s, %s", f.Match, f.Verdict.State, f.Verdict.Epoch, f.Verdict.Detail, m, s)
	}
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

func TestDriverKeepsThePromisesOfOneThatReports(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	drivertest.Run(t, drivertest.Subject{
		Reports:    home.Unsupported,
		Candidates: func() home.Candidates { return both },
		New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
			specs := make([]sim.Spec, n)
			for i := range specs {
				specs[i] = sim.Spec{Kind: home.Camera, Protocol: home.KasaCam, Username: email, Password: oldPair.Password}
			}
			d := driver(t, kasacam.Options{Timeout: 10 * time.Second})
			var all []drivertest.Device
			for _, s := range play(t, specs...) {
				probe(t, d, seen(s), both) // it answers
				all = append(all, subject{s})
			}
			return d, all
		},
	})
}
