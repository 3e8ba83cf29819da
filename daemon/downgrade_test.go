package daemon_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// While the hub runs, a device that proves its password is replaced by one that proves nothing, under its hardware
// address and at its address. The roster shows the older protocol until that was not sighted for three minutes: neither
// before nor after receives the replacement a secret, and in the end the owner reads why.
func TestAWeakerProtocolWhileTheHubRunsReceivesNothing(t *testing.T) {
	for _, weaker := range []host{
		{protocol: home.SmartAES, greedy: true},
		{protocol: home.IOT, knows: []home.Epoch{1}},
		{protocol: home.TapoCam, old: true, greedy: true},
	} {
		t.Run(string(weaker.protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				at := netip.MustParseAddr("127.9.0.1")
				n := newAttackers()
				h.lan.sightings = n.sightings
				h.drive(map[home.Protocol]daemon.Driver{home.KLAP2: n, weaker.protocol: n})
				sight := func(p home.Protocol) {
					n.sightings <- []home.Sighting{{
						Source: "udp", Protocol: p, Keys: []string{"mac:000000000001"}, Name: "hall", Kind: home.Plug,
						Addr: netip.AddrPortFrom(at, p.Port()), At: time.Now(),
					}}
					time.Sleep(15 * time.Second)
				}
				h.run(func() {
					n.put(at, host{protocol: home.KLAP2, knows: []home.Epoch{1}})
					sight(home.KLAP2)
					must(t, h.engine.Bind([]home.DeviceID{front}))
					sight(home.KLAP2)
					before := len(n.arrived())

					n.put(at, weaker)
					h.begin(2)
					for range 40 { // ten minutes
						sight(weaker.protocol)
						must(t, h.engine.AllowCleartext([]home.DeviceID{front})) // no order or consent changes that
					}
					if all := n.arrived(); len(all) != before {
						t.Errorf("the replacement received %d secrets", len(all)-before)
					}
					r := h.row(front)
					if weaker.protocol.Info().Rank < home.ProvesFirst &&
						(r.Verdict != home.Downgraded || !strings.Contains(r.Hint, "rekeyd unbind")) {
						t.Errorf("shown as %s, hint %q", r.Verdict, r.Hint)
					}
				})
			})
		})
	}
}
