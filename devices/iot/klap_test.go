package iot_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// capital is an account whose e-mail address has capitals.
const capital = "Ann@example.org"

var (
	annie  = home.Account{ID: "acc-1", Email: capital, Epoch: 5}
	oldOne = home.Credential{Epoch: 4, Username: capital, Password: home.NewSecret("old-password")}
	newOne = home.Credential{Epoch: 5, Username: capital, Password: home.NewSecret("new-password")}
	vault  = home.Candidates{
		Account: annie, Credentials: []home.Credential{newOne, oldOne}, Recorded: 4, Terms: home.Terms{Bound: true},
	}
	forward = home.Move{Account: annie, From: oldOne, To: newOne, Known: vault.Credentials, Terms: vault.Terms}
)

func klapDriver(t *testing.T) *iot.KLAP {
	t.Helper()
	d, err := iot.NewKLAP(iot.Options{Timeout: 10 * time.Second, BusyPause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func klapSpec(p home.Protocol, username, password string, defects ...sim.Defect) sim.Spec {
	return sim.Spec{Kind: home.Plug, Protocol: p, Username: username, Password: home.NewSecret(password), Defects: defects}
}

func TestKLAPDriverKeepsThePromisesOfEveryDriver(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, of := range map[string]struct {
		p       home.Protocol
		defects []sim.Defect
	}{
		"version 1": {home.KLAP1, nil}, "version 2": {home.IOTKLAP2, nil},
		"version 1, a session for each request": {home.KLAP1, []sim.Defect{sim.OneRequest}},
		"version 2, a session for each request": {home.IOTKLAP2, []sim.Defect{sim.OneRequest}},
		"version 2, busy":                       {home.IOTKLAP2, []sim.Defect{sim.Busy}},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Subject{
				Silent:     true,
				Candidates: func() home.Candidates { return vault },
				New: func(t *testing.T, n int) (drivertest.Driver, []drivertest.Device) {
					var specs []sim.Spec
					for i := range n {
						s := klapSpec(of.p, capital, "old-password", of.defects...)
						s.Kind = []home.Kind{home.Bulb, home.Switch, home.Plug}[i%3]
						specs = append(specs, s)
					}
					var all []drivertest.Device
					for _, s := range play(t, nil, specs...) {
						all = append(all, drivertest.Simulated{Device: s, Old: oldOne, New: newOne})
					}
					return klapDriver(t), all
				},
			})
		})
	}
}

func TestEachVerdictOverKLAPIsFound(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for _, p := range []home.Protocol{home.KLAP1, home.IOTKLAP2} {
		ds := play(
			t,
			nil,
			klapSpec(p, capital, "new-password"),
			klapSpec(p, capital, "old-password"),
			klapSpec(p, strings.ToLower(capital), "old-password"),
			klapSpec(p, "kasa@tp-link.net", "kasaSetup"),
			sim.Spec{Kind: home.Bulb, Protocol: p},
			klapSpec(p, "bob@example.org", "bobs"),
			klapSpec(p, capital, "old-password", sim.ThirdPartyOff),
			klapSpec(p, capital, "old-password", sim.Garbled),
			klapSpec(p, capital, "old-password", sim.Impostor),
			klapSpec(p, capital, "new-password", sim.Offline),
		)
		d := klapDriver(t)
		for i, want := range []struct {
			match  home.Match
			state  home.State
			epoch  home.Epoch
			detail string
		}{
			{home.Ours, home.Current, 5, ""},
			{home.Ours, home.Stale, 4, ""},
			{home.Ours, home.WrongCase, 4, "lower case"},
			{home.Foreign, home.ForeignHeld, 0, ""}, // bound to the factory's address, which no owner has here
			{home.Unbound, home.Blank, 0, ""},
			{home.Unknown, home.Mismatch, 0, "none of the credentials"},
			{home.Unknown, home.ThirdPartyOff, 0, "no other program"},
			{home.Unknown, home.Unreachable, 0, "does not speak"},
			{home.Unknown, home.Mismatch, 0, "another device"},
			{home.Ours, home.Current, 5, "not connected to its cloud"},
		} {
			f, err := d.Probe(t.Context(), seen(ds[i]), vault)
			if err != nil || f.Match != want.match || f.Verdict.State != want.state || f.Verdict.Epoch != want.epoch ||
				!strings.Contains(f.Verdict.Detail, want.detail) {
				t.Errorf(
					"%s, device %d: %s, %+v, %v; want %s, %s %d", p, i, f.Match, f.Verdict, err, want.match, want.state, want.epoch,
				)
			}
		}
	}
}

func TestOverKLAPWhatADeviceProvesCountsAndNotWhatItAnswers(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := home.IOTKLAP2
	ds := play(
		t,
		nil,
		klapSpec(p, capital, "old-password"),
		klapSpec(p, capital, "old-password", sim.Stubborn),
		klapSpec(p, capital, "old-password", sim.Forgetful),
		klapSpec(p, capital, "old-password", sim.Flapping),
		klapSpec(p, strings.ToLower(capital), "old-password"),
		klapSpec(p, "bob@example.org", "bobs"),
		klapSpec(p, capital, "old-password", sim.Offline),
	)
	d := klapDriver(t)
	for i, want := range []struct {
		err  error
		user string
		pw   string
	}{
		{nil, capital, "new-password"},
		{home.ErrRefused, capital, "old-password"}, // given back
		{home.ErrRefused, "", ""},
		{nil, capital, "new-password"},
		{nil, capital, "new-password"},
		{home.ErrNotOpened, "bob@example.org", "bobs"},
		{home.ErrOffline, "", ""},
	} {
		var err error
		for range 3 { // one that flaps is to be asked again
			if err = d.Rekey(t.Context(), seen(ds[i]), forward); i != 3 || err == nil {
				break
			}
		}
		if !errors.Is(err, want.err) || ds[i].Username() != want.user || ds[i].Password().Reveal() != want.pw {
			t.Errorf("device %d: %v, holds %q; want %v, %q", i, err, ds[i].Username(), want.err, want.user)
		}
	}
	// The one that cannot reach its cloud has what it was given, and proves it.
	f, err := d.Probe(t.Context(), seen(ds[6]), vault)
	if err != nil || f.Verdict.State != home.Current {
		t.Errorf("the one without a cloud: %+v, %v", f, err)
	}
}

func TestWhatACloudTakesBackIsSeenOverKLAP(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, nil, klapSpec(home.KLAP1, capital, "old-password", sim.Reverting))[0]
	dev := seen(p)
	if err := klapDriver(t).Rekey(t.Context(), dev, forward); err != nil {
		t.Fatal(err)
	}
	states := map[home.State]bool{}
	for range 4 {
		f, err := klapDriver(t).Probe(t.Context(), dev, vault) // each after a restart: it asks who answers
		if err != nil {
			t.Fatal(err)
		}
		states[f.Verdict.State] = true
	}
	if !states[home.Current] || !states[home.Stale] {
		t.Errorf("seen %v, want it to be current first and stale later", states)
	}
}

func TestADeviceBehindKLAPIsRestartedAndSpokenTo(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	ds := play(
		t, nil, klapSpec(home.IOTKLAP2, capital, "old-password", sim.OneRequest),
		klapSpec(home.IOTKLAP2, "bob@example.org", "bobs"),
	)
	d := klapDriver(t)
	mine, bobs := seen(ds[0]), seen(ds[1])
	if err := d.Restart(t.Context(), mine, vault); err != nil || !slices.Contains(ds[0].Commands(), "system.reboot") {
		t.Errorf("%v, it ran %q", err, ds[0].Commands())
	}
	raw, err := d.Relay(t.Context(), mine, vault, []byte(`{"system":{"set_relay_state":{"state":1}}}`))
	if err != nil || !strings.Contains(string(raw), `"err_code":0`) {
		t.Errorf("%s, %v", raw, err)
	}
	if err := d.Restart(t.Context(), bobs, vault); !errors.Is(err, home.ErrNotOpened) {
		t.Errorf("another's was restarted: %v", err)
	}
	if _, err := d.Relay(t.Context(), bobs, vault, []byte(`{}`)); !errors.Is(err, home.ErrNotOpened) {
		t.Errorf("another's was spoken to: %v", err)
	}
}

// TestAProbeIsOneRoundTrip counts what a device is asked whose place is known, whatever the number of candidates.
func TestAProbeIsOneRoundTrip(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, nil, klapSpec(home.IOTKLAP2, capital, "old-password"))[0]
	to, err := url.Parse("http://" + p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	through := httputil.NewSingleHostReverseProxy(to)
	through.Transport = &http.Transport{DisableKeepAlives: true}
	front := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); through.ServeHTTP(w, r) }),
	)
	defer front.Close()
	dev := seen(p)
	dev.Addr = netip.MustParseAddrPort(front.Listener.Addr().String())
	many := vault
	for e := range home.Epoch(8) {
		many.Credentials = append(
			slices.Clone(many.Credentials),
			home.Credential{Username: capital, Password: home.NewSecret(fmt.Sprint("older ", e))},
		)
	}
	d := klapDriver(t)
	for i, want := range []int32{4, 1, 1} { // first it is asked who it is
		asked.Store(0)
		f, err := d.Probe(t.Context(), dev, many)
		if err != nil || f.Verdict.State != home.Stale || asked.Load() != want {
			t.Errorf("probe %d: %+v, %v, after %d requests; want %d", i, f.Verdict, err, asked.Load(), want)
		}
	}
}
