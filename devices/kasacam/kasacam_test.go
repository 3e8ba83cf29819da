package kasacam_test

import (
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

// play runs simulated devices until the test ends.
func play(t *testing.T, specs ...sim.Spec) []*sim.Device {
	t.Helper()
	return drivertest.Play(t, nil, specs...)
}

func seen(d *sim.Device) home.Device { return drivertest.Seen(d) }

func probe(t *testing.T, d drivertest.Driver, dev home.Device, c home.Candidates) home.Finding {
	t.Helper()
	return drivertest.Probe(t, d, dev, c)
}

func driver(t *testing.T, o kasacam.Options) *kasacam.Driver {
	t.Helper()
	d, err := kasacam.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func expect(t *testing.T, f home.Finding, m home.Match, s home.State) {
	t.Helper()
	if f.Match != m || f.Verdict.State != s || f.Verdict.Epoch != 0 {
		t.Errorf("found %s, %s %d (%s); want %s, %s", f.Match, f.Verdict.State, f.Verdict.Epoch, f.Verdict.Detail, m, s)
	}
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
				all = append(all, drivertest.Simulated{Device: s, Old: oldPair, New: newPair})
			}
			return d, all
		},
	})
}
