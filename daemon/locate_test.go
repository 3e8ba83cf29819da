package daemon_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// An extender, or anyone with one socket, replies by UDP with the keys of a plug. The plug is moved at the address at
// which it speaks its protocol. One that proves nothing is not looked for elsewhere once it is bound: it would receive
// a password there.
func TestAddressThatSpeaksTheProtocolWins(t *testing.T) {
	for _, c := range []struct {
		protocol      home.Protocol
		found, moved  bool
		bound, allows bool
	}{
		{protocol: home.KLAP2, bound: true, found: true, moved: true},
		{protocol: home.KLAP2, bound: true, allows: true, found: true, moved: true},
		{protocol: home.TapoCam, bound: true, found: true, moved: true},
		{protocol: home.TapoCam, bound: true, allows: true, found: true, moved: true}, // no hash at another address
		{protocol: home.IOT, found: true},
		{protocol: home.IOT, bound: true, allows: true},
		{protocol: home.SmartAES, allows: true},
		{protocol: home.TPAP, bound: true}, // each probe is a counted sign-in
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.replace(func(o *daemon.Options) { o.Drivers = map[home.Protocol]daemon.Driver{c.protocol: h.lan} })
			extender, plug := netip.MustParseAddrPort("10.0.0.66:80"), netip.MustParseAddrPort("10.0.0.1:80")
			h.lan.held[front] = &played{match: home.Ours, holds: 1, at: plug}
			seen := home.Sighting{
				Source: "tapo-udp", Protocol: c.protocol, Keys: []string{"mac:000000000001"}, Kind: home.Plug, Addr: extender,
				AlsoAt: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.67:80"), plug}, Match: home.Unknown, At: time.Now(),
			}
			h.run(func() {
				if c.bound {
					must(t, h.store.Bind(acct, []home.Device{{ID: front, Keys: seen.Keys, Protocol: c.protocol}}))
					h.engine.AccountChanged()
				}
				if c.bound && c.allows {
					consent := home.Consents{Cleartext: home.CleartextConsent{Protocol: c.protocol, Addr: extender.Addr()}}
					must(t, h.store.Consent(map[home.DeviceID]home.Consents{front: consent}))
				}
				h.lan.sightings <- []home.Sighting{seen}
				time.Sleep(time.Second)
				r := h.row(front)
				if found := r.Verdict != home.Unreachable; found != c.found || found != (r.Addr == plug.String()) {
					t.Errorf("%+v: shown as %s at %s", c, r.Verdict, r.Addr)
				}
				h.begin(2)
				time.Sleep(time.Minute)
				if moved := h.lan.now(front).holds == 2; moved != c.moved {
					t.Errorf("%+v: moved %t", c, moved)
				}
				hs, err := h.store.House()
				must(t, err)
				if c.moved && hs.Devices[0].Addr != plug {
					t.Errorf("%+v: recorded at %s", c, hs.Devices[0].Addr)
				}
				// The extender alone answers; then the plug is off, and no host speaks for it.
				seen.AlsoAt, seen.At = nil, time.Now()
				h.lan.sightings <- []home.Sighting{seen}
				time.Sleep(time.Second)
				if r := h.row(front); r.Verdict != home.Unreachable {
					t.Errorf("%+v: shown as %s without the plug", c, r.Verdict)
				}
			})
		})
	}
}
