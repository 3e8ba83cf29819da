package discover_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/nc"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// Three hints lead to a camera of the NC class: its announced name, its reply to WS-Discovery, and a target.
func TestNCCamerasAreFoundByEachHint(t *testing.T) {
	const own = "nc:127.53.0.1"
	for name, c := range map[string]struct {
		spec     sim.Spec
		announce bool
		targets  []string
		keys     []string
	}{
		"mDNS":         {sim.Spec{Name: "NC220 x", Model: "NC220"}, true, nil, []string{"mdns:nc220 x._http._tcp", own}},
		"WS-Discovery": {sim.Spec{Name: "garden", Model: "NC450"}, true, nil, []string{own}},
		"target":       {sim.Spec{Name: "garden", Model: "NC260"}, false, []string{"127.53.0.1"}, []string{own}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			c.spec.Kind, c.spec.Protocol = home.Camera, home.NC
			lo := nettest.Loopback(t)
			o := sim.Options{Announce: c.announce, Interface: &lo, Log: slog.New(slog.DiscardHandler)}
			h, err := sim.New(o, []sim.Spec{c.spec})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			var run sync.WaitGroup
			run.Go(func() { _ = h.Run(ctx) })
			t.Cleanup(func() { stop(); run.Wait() })
			look := onLoopback()
			look.Recognise, look.Targets, look.Probes = nc.Recognise, targets(t, c.targets...), []discover.Probe{}
			w := start(t, look)
			w.until(t, time.Minute, "the camera", func(m map[string]home.Sighting) bool {
				for _, s := range m {
					if s.Protocol != home.NC {
						continue
					}
					known := name == "target" || s.Model == c.spec.Model
					if s.Addr != h.Devices()[0].Addr() || !slices.Equal(s.Keys, c.keys) || s.Kind != home.Camera || !known {
						t.Errorf("found %+v", s)
					}
					return true
				}
				return false
			})
			if wrong, _ := h.Devices()[0].SignIns(); wrong != 0 {
				t.Errorf("it counted %d wrong sign-ins", wrong)
			}
			h.Devices()[0].PowerOff()
			w.until(t, time.Minute, "its goodbye", func(m map[string]home.Sighting) bool {
				return m["nc-http "+own].Gone
			})
		})
	}
}
