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

// expose begins an epoch because somebody else may know the passwords before it.
func (h *house) expose(e home.Epoch) {
	h.t.Helper()
	must(h.t, h.store.Expose(acct, e))
	h.begin(e)
	time.Sleep(time.Minute)
}

// holds checks which epoch each device holds.
func (h *house) holds(when string, want map[home.DeviceID]home.Epoch) {
	h.t.Helper()
	for id, e := range want {
		if p := h.lan.now(id); p.holds != e {
			h.t.Errorf("%s: %s holds epoch %d, want %d", when, id, p.holds, e)
		}
	}
}

func TestDevicesWaitForTheirOwnerAfterAPasswordWasExposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held[back] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			for i, id := range []home.DeviceID{front, back} {
				h.lan.sightings <- []home.Sighting{{
					Source: "tapo-udp", Protocol: home.KLAP2, Keys: []string{"mac:" + string(id)[4:]}, Name: string(id),
					Kind: home.Plug, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 0, byte(i + 1)}), 80), At: time.Now(),
				}}
			}
			time.Sleep(time.Second)
			must(t, h.engine.BindOurs([]home.DeviceID{front, back}))
			time.Sleep(time.Second)

			h.expose(2)
			must(t, h.engine.Rekey(nil, false)) // an order for what is not current answers nothing
			time.Sleep(24 * time.Hour)
			h.holds("without an answer", map[home.DeviceID]home.Epoch{front: 1, back: 1})
			if r := h.row(front); r.Verdict != home.Stale || !r.Held || !strings.Contains(r.Detail, "somebody else may know") ||
				!strings.Contains(r.Hint, "rekeyd rekey "+string(front)) || !strings.Contains(r.Hint, "rekeyd rekey --all") {
				t.Errorf("shown as %s, %q, hint %q", r.Verdict, r.Detail, r.Hint)
			}

			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(time.Minute)
			if h.row(front).Held || !h.row(back).Held {
				t.Errorf("held %t and %t, want only the other", h.row(front).Held, h.row(back).Held)
			}
			h.holds("after an answer for one", map[home.DeviceID]home.Epoch{front: 2, back: 1})

			h.begin(3) // forgotten, and not exposed
			time.Sleep(time.Minute)
			h.holds("after the next change", map[home.DeviceID]home.Epoch{front: 3, back: 1})

			h.expose(4)
			h.holds("exposed again", map[home.DeviceID]home.Epoch{front: 3, back: 1})
			must(t, h.engine.RekeyAll())
			time.Sleep(time.Minute)
			h.holds("after an answer for all", map[home.DeviceID]home.Epoch{front: 4, back: 4})
		})
	})
}

// Only an order to rekey answers the question whether devices are moved although somebody else may know what they hold.
func TestOtherOrdersDoNotMoveADeviceAfterAPasswordWasExposed(t *testing.T) {
	for name, order := range map[string]func(*daemon.Rekeyer, []home.DeviceID) error{
		"bind":            (*daemon.Rekeyer).Bind,
		"allow cleartext": (*daemon.Rekeyer).AllowCleartext,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.lan.held[front] = &played{match: home.Ours, holds: 1}
				h.run(func() {
					h.lan.sightings <- []home.Sighting{{
						Source: "tapo-udp", Protocol: home.KLAP2, Keys: []string{"mac:000000000001"}, Kind: home.Plug,
						Addr: netip.MustParseAddrPort("127.9.0.1:80"), At: time.Now(),
					}}
					time.Sleep(time.Second)
					must(t, h.engine.BindOurs([]home.DeviceID{front}))
					time.Sleep(time.Second)
					h.expose(2)
					must(t, order(h.engine, []home.DeviceID{front}))
					time.Sleep(time.Hour)
					h.holds("after the order", map[home.DeviceID]home.Epoch{front: 1})
				})
			})
		})
	}
}
