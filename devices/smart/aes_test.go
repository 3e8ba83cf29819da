package smart_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/smart"
)

var (
	agreed     = home.Account{ID: "acc-1", Email: email, Epoch: 5}
	agreedBoth = home.Candidates{
		Account: agreed, Credentials: []home.Credential{newPair, oldPair}, Recorded: 4,
		Terms: home.Terms{Bound: true, Cleartext: true},
	}
	agreedMove = home.Move{Account: agreed, From: oldPair, To: newPair, Terms: agreedBoth.Terms}
)

func older(username, password string, defects ...sim.Defect) sim.Spec {
	s := plug(username, password, defects...)
	s.Protocol = home.SmartAES
	return s
}

// eager is a driver that tries as much as it is asked to.
func eager(t *testing.T) (*smart.AES, *budget) {
	t.Helper()
	b := purse(1000)
	return aes(t, smart.AESOptions{Budget: b, Timeout: 10 * time.Second, Wrong: 1000}), b
}

func aes(t *testing.T, o smart.AESOptions) *smart.AES {
	t.Helper()
	d, err := smart.NewAES(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func find(
	t *testing.T, d *smart.AES, dev home.Device, c home.Candidates, m home.Match, s home.State, e home.Epoch,
) home.Finding {
	t.Helper()
	f, err := d.Probe(t.Context(), dev, c)
	if err != nil || f.Match != m || f.Verdict.State != s || f.Verdict.Epoch != e {
		t.Errorf(
			"found %s, %s %d (%s), %v; want %s, %s %d", f.Match, f.Verdict.State, f.Verdict.Epoch, f.Verdict.Detail, err, m, s,
			e,
		)
	}
	return f
}

func TestDriverOfOlderDevicesKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, defects := range map[string][]sim.Defect{
		"a hash": nil, "the password itself": {sim.Lv1}, "a session for each request": {sim.OneRequest},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Silent:     true,
				Candidates: func() home.Candidates { return agreedBoth },
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					var specs []sim.Spec
					for range n {
						specs = append(specs, older(email, "old-password", defects...))
					}
					var all []drivertest.Device
					for _, d := range play(t, specs...) {
						all = append(all, drivertest.Simulated{Device: d, Old: oldPair, New: newPair})
					}
					d, _ := eager(t)
					return d, all
				},
			})
		})
	}
}

func TestEachVerdictIsFoundOfOlderDevices(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		spec  sim.Spec
		match home.Match
		state home.State
		epoch home.Epoch
	}{
		"current":       {older(email, "new-password"), home.Ours, home.Current, 5},
		"stale":         {older(email, "old-password"), home.Ours, home.Stale, 4},
		"plain":         {older(email, "new-password", sim.Lv1), home.Ours, home.Current, 5},
		"plain, coarse": {older(email, "old-password", sim.Lv1, sim.Coarse), home.Ours, home.Stale, 4},
		"in lower case": {older(strings.ToLower(email), "old-password"), home.Ours, home.WrongCase, 4},
		"tapo's":        {older("test@tp-link.net", "test"), home.Unbound, home.Default, 0},
		"kasa's, plain": {older("kasa@tp-link.net", "kasaSetup", sim.Lv1), home.Unbound, home.Default, 0},
		"blank":         {sim.Spec{Kind: home.Bulb, Protocol: home.SmartAES}, home.Unbound, home.Blank, 0},
		"blank, plain": {
			sim.Spec{Kind: home.Bulb, Protocol: home.SmartAES, Defects: []sim.Defect{sim.Lv1}},
			home.Unbound, home.Blank, 0,
		},
		"another's":       {older("bob@example.org", "bobs"), home.Unknown, home.Mismatch, 0},
		"third party off": {older(email, "old-password", sim.ThirdPartyOff), home.Unknown, home.ThirdPartyOff, 0},
		"garbled":         {older(email, "old-password", sim.Garbled), home.Unknown, home.Unreachable, 0},
		"impostor":        {older(email, "old-password", sim.Impostor), home.Unknown, home.Mismatch, 0},
		"updated":         {older(email, "old-password", sim.Updated), home.Unknown, home.Unreachable, 0},
		"busy":            {older(email, "old-password", sim.Busy), home.Ours, home.Stale, 4},
		"one request":     {older(email, "old-password", sim.OneRequest), home.Ours, home.Stale, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, c.spec)[0]
			defer p.PowerOff()
			d, _ := eager(t)
			for range 2 {
				f := find(t, d, seen(p), agreedBoth, c.match, c.state, c.epoch)
				if name == "updated" && !strings.Contains(f.Verdict.Detail, "another protocol now") {
					t.Errorf("its detail is %q", f.Verdict.Detail)
				}
			}
			for _, m := range p.Commands() {
				if m != "get_device_info" {
					t.Errorf("a probe has it run %s", m)
				}
			}
		})
	}
}

// The host at the address receives no secret unless the owner has agreed, nor where it is another's, and the consent
// counts at once.
func TestNoSecretIsSentWithoutTheOwnersConsent(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, older(email, "old-password"))[0]
	d, b := eager(t)
	vault, m := agreedBoth, agreedMove
	vault.Terms.Cleartext, m.Terms.Cleartext = false, false
	f := find(t, d, seen(p), vault, home.Unknown, home.Unsupported, 0)
	if !strings.Contains(f.Verdict.Detail, "nearly in the clear") {
		t.Errorf("its detail is %q", f.Verdict.Detail)
	}
	if err := d.Rekey(t.Context(), seen(p), m); !errors.Is(err, home.ErrRefused) ||
		!strings.Contains(home.HintOf(err), "rekeyd bind --allow-cleartext-bind") {
		t.Errorf("got %v, %s", err, home.HintOf(err))
	}
	foreign := seen(p)
	foreign.Owner = home.OwnerOf("bob@example.org")
	find(t, d, foreign, agreedBoth, home.Foreign, home.ForeignHeld, 0)
	if err := d.Rekey(t.Context(), foreign, agreedMove); !errors.Is(err, home.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if wrong, _ := p.SignIns(); b.calls != 0 || wrong != 0 || len(p.Commands()) != 0 {
		t.Errorf("%d sign-ins, %d wrong, it ran %q", b.calls, wrong, p.Commands())
	}
	find(t, d, seen(p), agreedBoth, home.Ours, home.Stale, 4)
}

func TestOlderDevicesAreChangedOnlyByComponentsTheyList(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		spec sim.Spec
		want error
	}{
		"plain firmware":                {older(email, "old-password"), nil},
		"the password itself":           {older(email, "old-password", sim.Lv1), nil},
		"a session for each request":    {older(email, "old-password", sim.OneRequest), nil},
		"busy":                          {older(email, "old-password", sim.Busy), nil},
		"in lower case":                 {older(strings.ToLower(email), "old-password"), nil},
		"lists no account":              {older(email, "old-password", sim.Bare), home.ErrRefused},
		"claims it has it, and has not": {older(email, "old-password", sim.Stubborn), home.ErrRefused},
		"third party off":               {older(email, "old-password", sim.ThirdPartyOff), home.ErrRefused},
		"another at the address":        {older(email, "old-password", sim.Impostor), home.ErrUnreachable},
		"updated":                       {older(email, "old-password", sim.Updated), home.ErrUnreachable},
		"another's":                     {older("bob@example.org", "bobs"), home.ErrNotOpened},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, c.spec)[0]
			defer p.PowerOff()
			d, b := eager(t)
			if err := d.Rekey(t.Context(), seen(p), agreedMove); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if moved := p.Holds(email, newPair.Password); moved != (c.want == nil) {
				t.Errorf("it holds the new one: %t", moved)
			}
			ran := p.Commands()
			if slices.Contains(ran, "joined another network") ||
				slices.Contains(c.spec.Defects, sim.Bare) && slices.Contains(ran, "set_qs_info") {
				t.Errorf("it ran %q", ran)
			}
			if wrong, _ := p.SignIns(); b.spent[p.ID()] < wrong {
				t.Errorf("%d were wrong, %d spent", wrong, b.spent[p.ID()])
			}
		})
	}
}

func TestWhatItsCloudTakesBackIsSeenOfOlderDevices(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, older(email, "old-password", sim.Reverting))[0]
	d, _ := eager(t)
	if err := d.Rekey(t.Context(), seen(p), agreedMove); err != nil {
		t.Fatal(err)
	}
	find(t, d, seen(p), agreedBoth, home.Ours, home.Current, 5)
	for range 3 {
		if _, err := d.Probe(t.Context(), seen(p), agreedBoth); err != nil {
			t.Fatal(err)
		}
	}
	find(t, d, seen(p), agreedBoth, home.Ours, home.Stale, 4) // what was wrong before may be right now
}

func TestWhatOlderDevicesNeedIsChecked(t *testing.T) {
	for _, o := range []smart.AESOptions{{}, {Budget: purse(1), Timeout: -1}, {Budget: purse(1), Wrong: -1}} {
		if _, err := smart.NewAES(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	d, _ := eager(t)
	if err := d.Rekey(t.Context(), home.Device{ID: "mac-1"}, home.Move{Account: agreed, From: oldPair}); err == nil ||
		home.HintOf(err) == "" {
		t.Errorf("got %v: the new password is not known", err)
	}
}

func TestAnAppSpeaksToAnOlderDevice(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, older(email, "old-password", sim.OneRequest))[0]
	d, _ := eager(t)
	raw, err := d.Relay(
		t.Context(), seen(p), agreedBoth, []byte(`{"method":"set_device_info","params":{"device_on":true}}`),
	)
	if err != nil || string(raw) != `{"error_code":0}` {
		t.Errorf("%s %v", raw, err)
	}
}
