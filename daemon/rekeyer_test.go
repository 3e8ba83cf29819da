package daemon_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestEveryDeviceFollowsANewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held[back] = &played{match: home.Unbound}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			h.bind(front, back)
			time.Sleep(time.Second)
			h.begin(2)
			time.Sleep(10 * time.Second)
			for id := range h.lan.held {
				p := h.lan.now(id)
				if p.holds != 2 || p.bare != 0 {
					t.Errorf("%s holds epoch %d; moved %d times, %d without an intent on disk", id, p.holds, p.moves, p.bare)
				}
				b, err := h.store.Binding(id)
				must(t, err)
				if b.DeviceEpoch != 2 || b.Verdict.State != home.Current {
					t.Errorf("%s is recorded as %v at epoch %d", id, b.Verdict.State, b.DeviceEpoch)
				}
				if r := h.row(id); r.Verdict != home.Stale || r.Epoch != 0 {
					t.Errorf("%s is shown as %v at %d before the account signed it in", id, r.Verdict, r.Epoch)
				}
			}
			if is, _ := h.store.Intents(); len(is) != 0 {
				t.Errorf("intents left: %v", is)
			}
			es, _ := h.store.Errands(10)
			if n := len(slices.DeleteFunc(es, func(e home.Errand) bool {
				return e.Kind != home.ErrandSignIn ||
					e.Epoch != 2
			})); n != 2 {
				t.Errorf("%d sign-ins wait, want 2", n)
			}
			must(t, h.store.SignedIn(acct, 2, []home.DeviceID{front, back}))
			h.engine.SignedIn([]home.DeviceID{front, back})
			if r := h.row(front); r.Verdict != home.Current || r.Epoch != 2 {
				t.Errorf("shown as %v at %d after both ends were seen", r.Verdict, r.Epoch)
			}
		})
	})
}

func TestForeignDeviceIsShownAndNeverTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Foreign}
		h.lan.held[back] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			if r := h.row(front); r.Verdict != home.ForeignHeld || r.Match != home.Foreign {
				t.Errorf("shown as %v, %v", r.Verdict, r.Match)
			}
			if err := h.engine.Bind([]home.DeviceID{front}); !errors.Is(err, home.ErrForeign) {
				t.Errorf("bound: %v", err)
			}
			h.bind(back)
			time.Sleep(time.Second)
			h.lan.mu.Lock()
			h.lan.held[back].match = home.Foreign // somebody else has taken it over
			h.lan.mu.Unlock()
			h.begin(2)
			time.Sleep(24 * time.Hour)
			for id := range h.lan.held {
				if h.lan.now(id).moves > 0 {
					t.Errorf("%s was touched", id)
				}
			}
		})
	})
}

func TestUnboundDeviceIsNeverTouchedWithoutItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Unbound}
		h.run(func() {
			h.see(front)
			h.begin(2)
			time.Sleep(24 * time.Hour)
		})
		if h.lan.held[front].moves > 0 {
			t.Error("an unbound device was given the password")
		}
	})
}

func TestDeviceThatWasOffIsRekeyedWhenSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &played{match: home.Ours, holds: 1}
		h.lan.held[front] = p
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			h.lan.mu.Lock()
			p.off = true
			h.lan.mu.Unlock()
			h.begin(2)
			time.Sleep(10 * time.Minute)
			if r := h.row(front); r.Verdict != home.Unreachable || r.Hint == "" {
				t.Errorf("shown as %v with hint %q", r.Verdict, r.Hint)
			}
			h.lan.mu.Lock()
			p.off = false
			h.lan.mu.Unlock()
			h.lan.sightings <- []home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: []string{"mac:000000000001"}, Kind: home.Plug,
				Addr: netip.MustParseAddrPort("127.9.0.77:9999"), At: time.Now(),
			}}
			time.Sleep(5 * time.Minute) // the roster holds on to an address for a while
			h.see(front)
			time.Sleep(time.Hour)
			if p := h.lan.now(front); p.holds != 2 {
				t.Errorf("holds epoch %d an hour after it came back", p.holds)
			}
		})
	})
}

func TestAnAnswerOfADeviceIsNoProof(t *testing.T) {
	for name, c := range map[string]struct {
		p    played
		want home.State
	}{
		"an error is not failure": {
			played{match: home.Ours, holds: 1, answer: errors.New("json decode error")},
			home.Current,
		},
		"ok is not success":     {played{match: home.Ours, holds: 1, lies: true}, home.Stale},
		"a refusal stays stale": {played{match: home.Ours, holds: 1, refuses: true}, home.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				p := c.p
				h.lan.held[front] = &p
				h.run(func() {
					h.take(front)
					time.Sleep(time.Second)
					h.begin(2)
					time.Sleep(time.Minute)
					b, err := h.store.Binding(front)
					must(t, err)
					if b.Verdict.State != c.want {
						t.Errorf("recorded as %v, want %v", b.Verdict.State, c.want)
					}
					if is, _ := h.store.Intents(); (len(is) == 0) != (c.want == home.Current) {
						t.Errorf("intents on disk: %v", is)
					}
					first := h.lan.now(front).moves
					time.Sleep(24 * time.Hour)
					if tries := h.lan.now(front).moves - first; tries > 40 {
						t.Errorf("tried %d times in a day", tries)
					} else if c.want != home.Current && tries == 0 {
						t.Error("was given up")
					}
				})
			})
		})
	}
}

func TestABoundDeviceKeepsItsIDUnderAStrongerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		const weak home.DeviceID = "iot-8006aa"
		h.lan.held[weak] = &played{match: home.Ours, holds: 1}
		sight := func(keys ...string) {
			h.lan.sightings <- []home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: keys, Name: "lamp", Kind: home.Plug,
				Addr: netip.MustParseAddrPort("127.9.0.9:9999"), At: time.Now(),
			}}
			time.Sleep(time.Second)
		}
		h.run(func() {
			sight("iot:8006AA")
			h.bind(weak)
			time.Sleep(time.Second)
			sight("mac:00000000000a", "iot:8006AA")
			_, rows, err := h.engine.House()
			if err != nil || len(rows) != 1 || rows[0].ID != weak || !rows[0].Bound || rows[0].MAC != "00000000000a" {
				t.Errorf("the house: %+v, %v", rows, err)
			}
			h.begin(2)
			time.Sleep(10 * time.Second)
			if b, err := h.store.Binding(weak); err != nil || b.DeviceEpoch != 2 {
				t.Errorf("recorded at epoch %d, %v", b.DeviceEpoch, err)
			}
			if ds, err := h.store.Devices(); err != nil || len(ds) != 1 || !slices.Contains(ds[0].Keys, "mac:00000000000a") {
				t.Errorf("recorded keys: %+v, %v", ds, err)
			}
			// After it was unbound, the strongest key names it, and the engine still knows what it holds.
			h.lan.mu.Lock()
			h.lan.held["mac-00000000000a"] = h.lan.held[weak]
			h.lan.mu.Unlock()
			must(t, h.engine.Unbind([]home.DeviceID{weak}))
			if _, rows, err = h.engine.House(); err != nil || len(rows) != 1 || rows[0].ID != "mac-00000000000a" ||
				rows[0].Bound ||
				!rows[0].LeftOut ||
				rows[0].Verdict != home.Current {
				t.Errorf("after it was unbound: %+v, %v", rows, err)
			}
			time.Sleep(time.Second)
		})
	})
}
