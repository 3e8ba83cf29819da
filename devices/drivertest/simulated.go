package drivertest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// Play runs simulated devices until the test ends, and returns them once all of them run. They sign in to cloud, which
// may be nil.
func Play(t *testing.T, cloud sim.Cloud, specs ...sim.Spec) []*sim.Device {
	t.Helper()
	h, err := sim.New(sim.Options{Cloud: cloud, Log: slog.New(slog.DiscardHandler)}, specs)
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
	<-h.Running()
	return h.Devices()
}

// Seen returns the device as the roster has it after discovery.
func Seen(d *sim.Device) home.Device {
	key := strings.Replace(string(d.ID()), "-", ":", 1)
	return home.Device{ID: d.ID(), Protocol: d.Protocol(), Addr: d.Addr(), Keys: []string{key}}
}

// Expect checks the finding of a probe.
func Expect(t *testing.T, f home.Finding, m home.Match, s home.State, e home.Epoch) {
	t.Helper()
	if v := f.Verdict; f.Match != m || v.State != s || v.Epoch != e {
		t.Errorf("found %s, %s %d (%s); want %s, %s %d", f.Match, v.State, v.Epoch, v.Detail, m, s, e)
	}
}

// Probe probes a device and returns the finding.
func Probe(t *testing.T, d Driver, dev home.Device, c home.Candidates) home.Finding {
	t.Helper()
	f, err := d.Probe(t.Context(), dev, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Simulated is a simulated device as a Device of the suite. Old and New are the credentials of the account before the
// newest, and the newest.
type Simulated struct {
	*sim.Device
	Old, New home.Credential
}

var (
	foreignUser     = "bob@example.org"
	foreignPassword = home.NewSecret("bobs")
)

// Seen implements Device.
func (s Simulated) Seen() home.Device { return Seen(s.Device) }

// Hold implements Device.
func (s Simulated) Hold(state home.State) {
	switch state {
	case home.Blank:
		s.Device.Hold("", home.Secret{})
	case home.Stale:
		s.Device.Hold(s.Old.Username, s.Old.Password)
	case home.ForeignHeld:
		s.Device.Hold(foreignUser, foreignPassword)
	}
}

// Holds implements Device.
func (s Simulated) Holds() home.State {
	switch {
	case s.Username() == "":
		return home.Blank
	case s.holds(s.Old.Username, s.Old.Password):
		return home.Stale
	case s.holds(s.New.Username, s.New.Password):
		return home.Current
	case s.holds(foreignUser, foreignPassword):
		return home.ForeignHeld
	}
	return home.Mismatch
}

// holds compares the pair of the device; a Tapo camera does not store the e-mail address that goes with a password.
func (s Simulated) holds(username string, password home.Secret) bool {
	if s.Protocol() == home.TapoCam {
		username = s.Username()
	}
	return s.Device.Holds(username, password)
}
