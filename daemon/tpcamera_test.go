package daemon_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestCamerasOfTheNCClassAreMarkedAsForTheirOwnAppOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			models := map[home.DeviceID]string{
				"mac-50c7bf000001": "NC450 2.0", "mac-50c7bf000002": "nc250", "mac-50c7bf000003": "NCX", "mac-50c7bf000004": "C200",
			}
			var ss []home.Sighting
			for id, model := range models {
				ss = append(ss, home.Sighting{
					Source: "mdns", Keys: []string{"mac:" + string(id)[4:]}, Name: "door", Kind: home.Other, Model: model,
					Match: home.Unknown,
					Addr:  netip.MustParseAddrPort("127.9.0.1:80"), At: time.Now(),
				})
			}
			h.lan.sightings <- ss
			synctest.Wait()
			for id, model := range models {
				row := h.row(id)
				nc := strings.EqualFold(model[:3], "nc4") || strings.EqualFold(model[:3], "nc2")
				if row.Verdict != home.Unsupported {
					t.Errorf("%s: %s", model, row.Verdict)
				}
				if nc != strings.Contains(row.Detail, "tpCamera") || nc != strings.Contains(row.Hint, "tpCamera") ||
					nc != (row.Kind == home.Camera) {
					t.Errorf("%s: %s, %q, %q", model, row.Kind, row.Detail, row.Hint)
				}
			}
		})
	})
}

// A camera signs in at the vendor's cloud: it is given no password that this cloud has not accepted from the hub.
func TestThePlanForACameraNeedsTheCloudsSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1, refuses: true}
		h.run(func() {
			h.lan.sightings <- []home.Sighting{{
				Source: "nc-http", Protocol: home.NC, Keys: []string{"mac:" + string(front)[4:]}, Kind: home.Camera,
				Addr: netip.MustParseAddrPort("127.9.0.1:80"), At: time.Now(),
			}}
			time.Sleep(time.Second)
			h.bind(front)
			must(t, h.engine.AllowCleartext([]home.DeviceID{front}))
			h.begin(2)
			ps, err := h.engine.Probe(t.Context(), []home.DeviceID{front})
			must(t, err)
			if p := ps[0].Plan; !strings.HasPrefix(p, "nothing before") || !strings.Contains(p, "--provider tplink") {
				t.Errorf("plan %q", p)
			}
		})
	})
}
