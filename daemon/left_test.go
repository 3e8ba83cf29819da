package daemon_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestADeviceThatLeftIsShownSoAndForgottenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}}
		h.with(d)
		h.run(func() {
			d.sightings <- sighting("mac:50c7bf000001")
			time.Sleep(10 * time.Second)
			if r := h.row("mac-50c7bf000001"); r.Left {
				t.Error("it is here")
			}
			gone := sighting("mac:50c7bf000001")
			gone[0].Gone = true
			d.sightings <- gone
			time.Sleep(10 * time.Second)
			if r := h.row("mac-50c7bf000001"); !r.Left {
				t.Error("it sent a goodbye, and is shown as if it were here")
			}
			time.Sleep(2 * time.Hour)
			d.sightings <- sighting("mac:50c7bf000002")
			time.Sleep(10 * time.Second)
			if _, rows, _ := h.engine.House(); len(rows) != 1 || rows[0].ID != "mac-50c7bf000002" {
				t.Errorf("two hours later the house is %+v", rows)
			}
		})
	})
}

func TestAFloodOfAnnouncementsLeavesRoomForRealDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}}
		h.with(d)
		h.run(func() {
			var all []home.Sighting
			for i := range 40_000 {
				s := sighting(fmt.Sprintf("mac:02%010x", i))[0]
				s.Source, s.Protocol, s.Addr = "mdns", home.Native, netip.AddrPortFrom(
					netip.AddrFrom4([4]byte{127, 10, byte(i >> 8), byte(i)}), 1,
				)
				all = append(all, s)
				if len(all) == 1000 {
					d.sightings <- all
					time.Sleep(time.Second)
					var bye []home.Sighting
					for _, s := range all {
						s.Gone, s.At = true, time.Now()
						bye = append(bye, s)
					}
					d.sightings <- bye
					time.Sleep(time.Second)
					all = nil
				}
			}
			time.Sleep(2 * time.Minute)
			d.sightings <- sighting("mac:50c7bf000001")
			time.Sleep(10 * time.Second)
			if r := h.row("mac-50c7bf000001"); r.Left {
				t.Error("the real one is not here")
			}
			if _, rows, _ := h.engine.House(); len(rows) > 5000 {
				t.Errorf("%d rows are kept", len(rows))
			}
		})
	})
}
