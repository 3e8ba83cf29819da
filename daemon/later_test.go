package daemon_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A device that was switched off while its owner ordered "bind what is mine" is bound and moved when it is back: where
// it proves a password of the account, and was not left out.
func TestADeviceThatIsSwitchedOnLaterIsBoundByItself(t *testing.T) {
	for name, c := range map[string]struct {
		device    played
		proofless bool // of a protocol without proofs
		leftOut   bool
		off       bool // the order was withdrawn
		bound     bool
	}{
		"it proves an older password": {device: played{match: home.Ours, holds: 1}, bound: true},
		"it only claims the account":  {device: played{match: home.Ours, holds: 1}, proofless: true},
		"it has no owner":             {device: played{match: home.Unbound}},
		"it is another account's":     {device: played{match: home.Foreign}},
		"its owner unbound it":        {device: played{match: home.Ours, holds: 1}, leftOut: true},
		"the order was withdrawn":     {device: played{match: home.Ours, holds: 1}, off: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.lan.held[front] = &c.device
				sight := func() {
					p := home.KLAP2
					if c.proofless {
						p = home.IOT
					}
					h.lan.sightings <- []home.Sighting{{
						Source: "udp", Protocol: p, Keys: []string{"mac:000000000001"}, Name: "lamp", Kind: home.Plug,
						Addr: netip.MustParseAddrPort("127.9.0.1:80"), At: time.Now(),
					}}
					time.Sleep(time.Minute)
				}
				h.run(func() {
					if c.leftOut {
						sight()
						must(t, h.engine.BindOurs([]home.DeviceID{front}))
						time.Sleep(time.Second)
						must(t, h.engine.Unbind([]home.DeviceID{front}))
					}
					must(t, h.engine.BindLater(true))
					if c.off {
						must(t, h.engine.BindLater(false))
					}
				})
				// The order is on disk: it survives a restart, and another login to the account.
				a, err := h.store.Account()
				must(t, err)
				a.BindLater = false
				must(t, h.store.Enrol(a, home.Credential{}))
				h.drive(map[home.Protocol]daemon.Driver{home.IOT: h.lan, home.KLAP2: h.lan})
				h.begin(2)
				h.run(func() {
					sight()
					if p := h.lan.now(front); h.row(front).Bound != c.bound || (p.holds == 2) != c.bound {
						t.Errorf("bound: %t, holds epoch %d", h.row(front).Bound, p.holds)
					}
				})
			})
		})
	}
}
