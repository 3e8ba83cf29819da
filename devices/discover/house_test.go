package discover_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// TestAHouseOfEveryProtocolIsFound looks for simulated devices as they answer over UDP, by broadcast, with mDNS silent.
func TestAHouseOfEveryProtocolIsFound(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	const anna = "Anna@example.org"
	spec := func(k home.Kind, p home.Protocol, username string) sim.Spec {
		s := sim.Spec{Kind: k, Protocol: p, Username: username}
		if username != "" {
			s.Password = home.NewSecret("old")
		}
		return s
	}
	specs := []sim.Spec{
		spec(home.Plug, home.IOT, anna), spec(home.Camera, home.KasaCam, anna), spec(home.Camera, home.TapoCam, anna),
		spec(home.Camera, home.TapoCam, ""),
		spec(home.Plug, home.KLAP2, anna), spec(home.Bulb, home.KLAP2, ""), spec(home.Switch, home.TPAP, "bob@example.org"),
	}
	h, err := sim.New(sim.Options{Log: slog.New(slog.DiscardHandler)}, specs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = h.Run(ctx) })
	t.Cleanup(func() { stop(); run.Wait() })
	o := onLoopback()
	o.Probes = append([]discover.Probe{discover.Kasa()}, discover.Tapo()...)
	w := start(t, o)
	w.until(t, 40*time.Second, "the house, whose each is", func(m map[string]home.Sighting) bool {
		for i, d := range h.Devices() {
			owner := home.NoOwner
			if specs[i].Username != "" {
				owner = home.OwnerOf(specs[i].Username)
			}
			found := false
			for _, s := range m {
				found = found || s.Protocol == specs[i].Protocol && s.Kind == specs[i].Kind && s.Addr == d.Addr() &&
					s.Owner == owner && "mac-"+s.Keys[0][4:] == string(d.ID())
			}
			if !found {
				return false
			}
		}
		return true
	})
}
