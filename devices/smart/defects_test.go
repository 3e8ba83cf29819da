package smart_test

import (
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

func TestWhatItsCloudTakesBackIsSeen(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, plug(email, "old-password", sim.Reverting))[0]
	if err := driver(t).Rekey(t.Context(), seen(p), move); err != nil {
		t.Fatal(err)
	}
	states := map[home.State]bool{}
	for range 4 {
		f, err := driver(t).Probe(t.Context(), seen(p), both) // each after a restart: it asks who answers
		if err != nil {
			t.Fatal(err)
		}
		states[f.Verdict.State] = true
	}
	if !states[home.Current] || !states[home.Stale] {
		t.Errorf("seen %v, want it to be current first and stale later", states)
	}
}

func TestADeviceThatFlapsIsMoved(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, plug(email, "old-password", sim.Flapping))[0]
	d := driver(t)
	var err error
	for range 3 { // at every second sign-in it holds the factory's
		if err = d.Rekey(t.Context(), seen(p), move); err == nil {
			break
		}
	}
	if err != nil || !p.Password().Equal(newPair.Password) {
		t.Errorf("%v", err)
	}
}

func TestAnAppSpeaksToTheDevice(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	p := play(t, plug(email, "old-password"))[0]
	raw, err := driver(t).Relay(
		t.Context(), seen(p), both, []byte(`{"method":"set_device_info","params":{"device_on":true}}`),
	)
	if err != nil || string(raw) != `{"error_code":0}` {
		t.Errorf("%s %v", raw, err)
	}
	if _, err := driver(t).Relay(t.Context(), seen(p), home.Candidates{}, []byte(`{}`)); !errors.Is(
		err, home.ErrNotOpened,
	) {
		t.Error(err)
	}
}
