package daemon_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// seeTPAP reports a device whose protocol is moved by order only.
func (h *house) seeTPAP(id home.DeviceID) {
	h.lan.sightings <- []home.Sighting{{
		Source: "tapo-udp", Protocol: home.TPAP, Keys: []string{"mac:" + string(id)[4:]}, Name: string(id), Kind: home.Plug,
		Addr: netip.MustParseAddrPort("127.9.0.9:80"), Match: home.Unknown, At: time.Now(),
	}}
}

func TestADeviceOfAnUnprovenCommandIsMovedByOrderOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1, refuses: true}
		h.run(func() {
			h.seeTPAP(front)
			time.Sleep(time.Second)
			if p := h.lan.now(front); p.bound || p.probes == 0 {
				t.Errorf("probed %d times, as a bound one: %t", p.probes, p.bound)
			}
			h.bind(front)
			h.begin(2)
			time.Sleep(24 * time.Hour)
			if p := h.lan.now(front); !p.bound || p.moves != 0 {
				t.Errorf("as a bound one: %t, moved %d times without an order", p.bound, p.moves)
			}
			if r := h.row(front); r.Verdict != home.Stale || !strings.Contains(r.Hint, "rekeyd rekey --try "+string(front)) {
				t.Errorf("shown as %s, hint %q", r.Verdict, r.Hint)
			}
			found, err := h.engine.Probe(t.Context(), []home.DeviceID{front})
			if err != nil || len(found) != 1 || !strings.HasPrefix(found[0].Plan, "nothing: ") {
				t.Errorf("plan %+v, %v", found, err)
			}
			must(t, h.engine.Rekey([]home.DeviceID{front}, false)) // has it probed
			time.Sleep(time.Minute)
			if p := h.lan.now(front); p.moves != 0 {
				t.Errorf("moved %d times by an order that names no try", p.moves)
			}
			must(t, h.engine.TryRekey([]home.DeviceID{front}))
			time.Sleep(24 * time.Hour)
			if p := h.lan.now(front); p.moves != 1 || p.tries != 1 {
				t.Errorf("an order for one try: moved %d times, %d as a try", p.moves, p.tries)
			}
			if r := h.row(front); !strings.Contains(r.Detail, home.ErrRefused.Error()) {
				t.Errorf("after a try that failed it is shown as %q", r.Detail)
			}
			if err := h.engine.TryRekey(nil); err == nil {
				t.Error("a try of every device is accepted")
			}
			if err := h.engine.TryRekey([]home.DeviceID{back}); err == nil {
				t.Error("a try of an unknown device is accepted")
			}
		})
	})
}
