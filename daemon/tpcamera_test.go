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
