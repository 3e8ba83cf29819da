package tapocam_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

func TestEveryVerdictIsFoundWithoutASpentSignIn(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, c := range []struct {
		spec  sim.Spec
		match home.Match
		state home.State
		epoch home.Epoch
	}{
		{camera("new-password"), home.Ours, home.Current, 5},
		{camera("old-password"), home.Ours, home.Stale, 4},
		{camera("old-password", sim.MD5), home.Ours, home.Stale, 4},
		{camera("unknown"), home.Unknown, home.Mismatch, 0},
		{camera("admin"), home.Unbound, home.Default, 0},
		{sim.Spec{Kind: home.Camera, Protocol: home.TapoCam}, home.Unbound, home.Default, 0},
		{camera("old-password", sim.ThirdPartyOff), home.Unknown, home.ThirdPartyOff, 0},
		{camera("old-password", sim.Garbled), home.Unknown, home.Unreachable, 0},
		{camera("old-password", sim.Impostor), home.Unknown, home.Mismatch, 0},
	} {
		s := play(t, c.spec)[0]
		b := purse()
		for range 20 {
			expect(t, probe(t, driver(t, tapocam.Options{Budget: b}), seen(s), both), c.match, c.state, c.epoch)
		}
		if wrong, locks := s.SignIns(); wrong+locks != 0 || b.spent[s.ID()] != 0 {
			t.Errorf("%s: %d wrong sign-ins, %d locks, %d spent", c.state, wrong, locks, b.spent[s.ID()])
		}
		for _, m := range s.Commands() {
			if m != "getDeviceInfo" {
				t.Errorf("a probe has it run %s", m)
			}
		}
		s.PowerOff()
	}
}

func TestARekeyTouchesNothingButThePassword(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password"))[0]
	d := driver(t, tapocam.Options{})
	for range 2 {
		if err := d.Rekey(t.Context(), seen(s), move); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Holds(email, newPair.Password) {
		t.Error("it does not hold the new one")
	}
	if want := []string{"getDeviceInfo", "scanApList", "changeAdminPassword", "getDeviceInfo"}; !slices.Equal(
		s.Commands(), want,
	) {
		t.Errorf("it ran %q, want %q", s.Commands(), want)
	}
}

func TestACamerasReportOfAChangeIsNoEvidence(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password", sim.Stubborn))[0] // reports success
	d := driver(t, tapocam.Options{})
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrRefused) {
		t.Errorf("got %v", err)
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Stale, 4)
}

func TestWhatTheCloudTakesBackIsFound(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password", sim.Reverting))[0]
	d := driver(t, tapocam.Options{})
	if err := d.Rekey(t.Context(), seen(s), move); err != nil {
		t.Fatal(err)
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Current, 5)
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Stale, 4)
}

func TestACameraThatGoesBackAndForthIsReportedAndMoved(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password", sim.Flapping))[0]
	d := driver(t, tapocam.Options{})
	var reported bool
	for range 4 {
		f := probe(t, d, seen(s), both)
		expect(t, f, home.Ours, home.Stale, 4)
		reported = reported || f.Verdict.Detail != ""
	}
	if !reported {
		t.Error("no word of it")
	}
	if err := d.Rekey(t.Context(), seen(s), move); err != nil || !s.Holds(email, newPair.Password) {
		t.Errorf("got %v", err)
	}
	expect(t, probe(t, d, seen(s), both), home.Ours, home.Current, 5)
}

func TestALockedCameraReportsUntilWhenAndIsLeftAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password"))[0]
	for range 10 {
		if _, err := login(
			t, s, `{"method":"login","params":{"hashed":true,"username":"admin","password":"00"}}`,
		); err != nil {
			t.Fatal(err)
		}
	}
	b := purse()
	d := driver(t, tapocam.Options{Budget: b})
	f := probe(t, d, seen(s), both)
	expect(t, f, home.Unknown, home.LockedOut, 0)
	if in := time.Until(f.Verdict.Until); in < 29*time.Minute || in > 31*time.Minute {
		t.Errorf("locked until %v", f.Verdict.Until)
	}
	if err := d.Rekey(t.Context(), seen(s), move); !errors.Is(err, home.ErrBudget) {
		t.Errorf("got %v", err)
	}
	if b.calls != 0 {
		t.Errorf("%d sign-ins", b.calls)
	}
}

// Whatever the vault holds, however often it is asked, and whether anything is remembered: a camera that locks after
// ten is not locked.
func TestNoCameraIsEverLocked(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		defects []sim.Defect
		locks   int // after how many it locks; ten as usual when 0
		vault   int // how many passwords are in it
	}{
		"today's": {nil, 0, 30}, "MD5": {[]sim.Defect{sim.MD5}, 0, 8}, "flapping": {[]sim.Defect{sim.Flapping}, 0, 30},
		"older": {[]sim.Defect{sim.Hashed}, 0, 8}, "older, flapping": {[]sim.Defect{sim.Hashed, sim.Flapping}, 0, 30},
		"older, locks after five": {[]sim.Defect{sim.Hashed}, 5, 8},
	} {
		for _, holds := range []string{"password-29", "unknown"} {
			t.Run(name+" holds "+holds, func(t *testing.T) {
				spec := camera(holds, c.defects...)
				spec.Locks = c.locks
				s := play(t, spec)[0]
				defer s.PowerOff()
				vault := both
				vault.Credentials = nil
				for i := range c.vault {
					vault.Credentials = append(vault.Credentials, home.Credential{
						Epoch: home.Epoch(30 - i), Username: email, Password: home.NewSecret(fmt.Sprintf("password-%d", i)),
					})
				}
				vault.Account.Epoch, vault.Recorded = 30, 27
				b := purse()
				for range 6 { // hours
					for life := range 2 { // and restarts
						d := driver(t, tapocam.Options{Budget: b})
						for range 2 - life {
							_, err := d.Probe(t.Context(), seen(s), vault)
							if err != nil && !errors.Is(err, home.ErrBudget) {
								t.Fatal(err)
							}
							_ = d.Rekey(
								t.Context(), seen(s), home.Move{
									Account: vault.Account, From: vault.Credentials[3], To: vault.Credentials[0], Terms: both.Terms,
								},
							)
						}
					}
					b.hour()
				}
				if wrong, locks := s.SignIns(); locks != 0 || wrong > 9 {
					t.Errorf("%d wrong sign-ins, locked %d times", wrong, locks)
				}
			})
		}
	}
}

func TestTheOlderLoginIsNotTriedTwiceWithTheSame(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("unknown", sim.Hashed))[0]
	b := purse()
	b.limit = 100
	d := driver(t, tapocam.Options{Budget: b})
	for range 5 {
		expect(t, probe(t, d, seen(s), both), home.Unknown, home.Mismatch, 0)
	}
	if wrong, _ := s.SignIns(); wrong != 4 { // two of the account, two of the maker
		t.Errorf("%d wrong sign-ins", wrong)
	}
}

func TestWhatIsNeededIsChecked(t *testing.T) {
	if _, err := tapocam.New(tapocam.Options{}); err == nil {
		t.Error("no budget is needed")
	}
	if _, err := tapocam.New(tapocam.Options{Budget: purse(), Timeout: -1}); err == nil {
		t.Error("a negative timeout is taken")
	}
	d := driver(t, tapocam.Options{})
	if err := d.Rekey(t.Context(), home.Device{ID: "mac-1"}, home.Move{Account: ann, From: oldPair}); err == nil ||
		home.HintOf(err) == "" {
		t.Errorf("got %v: the new password is not known", err)
	}
}

// Where no sign-in may be spent, a camera that was known is known again by its certificate; another's proof is not
// taken for it.
func TestWithoutASignInOnlyAKnownCameraIsBelieved(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	all := play(t, camera("old-password"), camera("old-password"))
	b := purse()
	d := driver(t, tapocam.Options{Budget: b})
	b.limit = 0
	if _, err := d.Probe(t.Context(), seen(all[0]), both); !errors.Is(err, home.ErrBudget) {
		t.Errorf("got %v: who it is was never asked", err)
	}
	b.limit = 3
	expect(t, probe(t, d, seen(all[0]), both), home.Ours, home.Stale, 4)
	b.limit = 0
	f := probe(t, d, seen(all[0]), both)
	expect(t, f, home.Ours, home.Stale, 4)
	if f.Verdict.Detail == "" {
		t.Error("no word of it")
	}
	dev := seen(all[0])
	dev.Addr = all[1].Addr()
	if _, err := d.Probe(t.Context(), dev, both); !errors.Is(err, home.ErrBudget) {
		t.Errorf("got %v for another camera", err)
	}
	if err := d.Rekey(t.Context(), seen(all[0]), move); !errors.Is(err, home.ErrBudget) ||
		!all[0].Holds(email, oldPair.Password) {
		t.Errorf("got %v", err)
	}
}
