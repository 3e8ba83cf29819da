package daemon_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// sight has the front device announce itself with a protocol, at an address of its own number.
func (h *house) sight(p home.Protocol, host byte) {
	h.lan.sightings <- []home.Sighting{{
		Source: "tapo-udp", Protocol: p, Keys: []string{"mac:000000000001"}, Name: "front", Kind: home.Plug,
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 0, host}), 80), At: time.Now(),
	}}
	time.Sleep(time.Second)
}

func (h *house) moves(when string, want int, state home.State) {
	h.t.Helper()
	if n, r := h.lan.now(front).moves, h.row(front); n != want || r.Verdict != state {
		h.t.Errorf("%s: moved %d times, shown as %s (%s; %s); want %d, %s", when, n, r.Verdict, r.Detail, r.Hint, want, state)
	}
}

func TestADeviceThatWasResetReceivesNothingUntilItsOwnerNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.sight(home.KLAP2, 1)
			must(t, h.engine.Bind([]home.DeviceID{front}))
			time.Sleep(time.Second)
			must(t, h.store.SignedIn(acct, 1, []home.DeviceID{front}))
			h.lan.set(front, func(p *played) { p.match = home.Unbound }) // or a stranger under its address
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(25 * time.Hour)
			h.begin(2)
			time.Sleep(25 * time.Hour)
			h.moves("reset", 0, home.WasReset)
			const hint = "if you reset front, or put another device in its place, give it your password with: rekeyd bind front"
			if r := h.row(front); r.Hint != hint {
				t.Errorf("hint %q", r.Hint)
			}
			must(t, h.engine.BindOurs([]home.DeviceID{front})) // bind --all
			time.Sleep(time.Hour)
			h.moves("bound with all others", 0, home.WasReset)

			h.lan.set(front, func(p *played) { p.refuses = true })
			must(t, h.engine.Bind([]home.DeviceID{front}))
			time.Sleep(time.Minute)
			if h.lan.now(front).moves == 0 {
				t.Error("named by its owner, and not moved")
			}
			h.sight(home.KLAP2, 9) // at another address, after failed attempts
			h.lan.set(front, func(p *played) { p.refuses = false })
			time.Sleep(12 * time.Hour)
			if p, b := h.lan.now(front), h.row(front); p.holds != 2 || b.Verdict != home.Stale {
				t.Errorf("holds %d, shown as %s", p.holds, b.Verdict)
			}
			n := h.lan.now(front).moves
			h.lan.set(front, func(p *played) { p.match = home.Unbound })
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(12 * time.Hour)
			h.moves("reset again, after the move was verified", n, home.WasReset)
		})
	})
}

func TestTheFactoryFreshConsentEndsAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Unbound, refuses: true}
		h.run(func() {
			h.sight(home.KLAP2, 1)
			must(t, h.engine.Bind([]home.DeviceID{front}))
			time.Sleep(home.FreshTime)
			n := h.lan.now(front).moves
			if n == 0 {
				t.Error("it was never moved")
			}
			h.lan.set(front, func(p *played) { p.refuses = false })
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(24 * time.Hour)
			h.moves("after a day", n, home.Blank)
			if r := h.row(front); r.Hint != "add front to your account, in its app or with: rekeyd bind front" {
				t.Errorf("hint %q", r.Hint)
			}
		})
	})
}

func TestAWeakerProtocolThanBeforeIsNotSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.sight(home.IOT, 1)
			h.bind(front)
			h.begin(2)
			time.Sleep(10 * time.Second)
			h.moves("over XOR", 1, home.Stale)
			h.sight(home.IOT, 1)
			time.Sleep(4 * time.Minute) // a device that answers both ways is taken for its older protocol
			h.sight(home.KLAP2, 1)
			h.begin(3)
			time.Sleep(10 * time.Second)
			h.moves("after an update to KLAP", 2, home.Stale)
			time.Sleep(4 * time.Minute)
			h.sight(home.IOT, 1)
			n := h.lan.now(front).probes
			h.begin(4)
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(12 * time.Hour)
			h.moves("announced as XOR", 2, home.Downgraded)
			if p := h.lan.now(front); p.probes != n {
				t.Errorf("probed %d times", p.probes-n)
			}
			const hint = "if you replaced front, unbind it and bind it again: rekeyd unbind front; rekeyd bind front"
			if r := h.row(front); r.Hint != hint {
				t.Errorf("hint %q", r.Hint)
			}
			h.sight(home.KLAP2, 1)
			time.Sleep(10 * time.Second)
			h.moves("back at KLAP", 3, home.Stale)
		})
	})
}

func TestPasswordsInTheClearAreAllowedForOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.sight(home.IOT, 1)
			must(t, h.engine.Bind([]home.DeviceID{front}))
			h.begin(2)
			time.Sleep(time.Hour)
			h.moves("without consent", 0, home.Stale)
			if r := h.row(front); !r.Consent || r.Hint != "allow it with: rekeyd bind --allow-cleartext-bind front" {
				t.Errorf("%t, hint %q", r.Consent, r.Hint)
			}
			must(t, h.engine.AllowCleartext([]home.DeviceID{front}))
			time.Sleep(time.Minute)
			h.moves("with consent", 1, home.Stale)
			time.Sleep(10 * time.Minute)
			h.sight(home.IOT, 2)
			h.begin(3)
			time.Sleep(time.Hour)
			h.moves("at a new address", 1, home.Stale)
			if !h.row(front).Consent {
				t.Error("consent is not asked again")
			}
			must(t, h.engine.AllowCleartext([]home.DeviceID{front}))
			time.Sleep(time.Minute)
			h.moves("allowed there", 2, home.Stale)
			must(t, h.engine.Unbind([]home.DeviceID{front}))
			must(t, h.engine.Bind([]home.DeviceID{front}))
			h.begin(4)
			time.Sleep(time.Hour)
			h.moves("unbound and bound", 2, home.Stale)
		})
	})
}
