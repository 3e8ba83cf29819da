package tapocam_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const email = "ann@example.org"

var (
	oldPair = home.Credential{Epoch: 4, Username: email, Password: home.NewSecret("old-password")}
	newPair = home.Credential{Epoch: 5, Username: email, Password: home.NewSecret("new-password")}
	ann     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	both    = home.Candidates{
		Account: ann, Credentials: []home.Credential{newPair, oldPair}, Recorded: 4,
		Terms: home.Terms{Bound: true, Cleartext: true},
	}
	move = home.Move{Account: ann, From: oldPair, To: newPair, Terms: both.Terms}
)

// budget refuses what is more than three wrong sign-ins of a device in an hour, as that on disk does.
type budget struct {
	mu    sync.Mutex // guards the fields below
	spent map[home.DeviceID]int
	limit int
	calls int
}

func purse() *budget { return &budget{spent: map[home.DeviceID]int{}, limit: 3} }

func (b *budget) Spend(d home.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent[d] >= b.limit {
		return home.ErrBudget
	}
	b.spent[d]++
	b.calls++
	return nil
}

func (b *budget) Good(d home.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent[d]--
	return nil
}

func (*budget) Refused(home.DeviceID) error { return nil }

func (b *budget) hour() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.spent)
}

// camera is one that holds a password of the account.
func camera(password string, defects ...sim.Defect) sim.Spec {
	return sim.Spec{
		Kind:     home.Camera,
		Protocol: home.TapoCam,
		Username: email,
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

func probe(t *testing.T, d drivertest.Driver, dev home.Device, c home.Candidates) home.Finding {
	t.Helper()
	return drivertest.Probe(t, d, dev, c)
}

func expect(t *testing.T, f home.Finding, m home.Match, s home.State, e home.Epoch) {
	t.Helper()
	drivertest.Expect(t, f, m, s, e)
}

func driver(t *testing.T, o tapocam.Options) *tapocam.Driver {
	t.Helper()
	if o.Budget == nil {
		o.Budget = purse()
	}
	d, err := tapocam.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, defects := range map[string][]sim.Defect{
		"firmware of today": nil, "that gives a key": {sim.PEMKey}, "MD5": {sim.MD5}, "older": {sim.Hashed, sim.DERKey},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Silent:     true,
				Candidates: func() home.Candidates { return both },
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					var specs []sim.Spec
					for range n {
						specs = append(specs, camera("old-password", defects...))
					}
					b := purse()
					b.limit = 100
					d := driver(t, tapocam.Options{Timeout: 10 * time.Second, Budget: b})
					var all []drivertest.Device
					for _, s := range play(t, specs...) {
						probe(t, d, seen(s), both) // it answers
						all = append(all, drivertest.Simulated{Device: s, Old: oldPair, New: newPair})
					}
					return d, all
				},
			})
		})
	}
}
