package daemon_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// back sets a device back to the first epoch, as its cloud does.
func (l *lan) setBack(id home.DeviceID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[id].holds = 1
}

func TestADeviceThatIsSetBackIsMovedOnceMoreAndThenReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		expect := func(when string, moves int, s home.State) {
			t.Helper()
			if p, r := h.lan.now(front), h.row(front); p.moves != moves || r.Verdict != s {
				t.Errorf("%s: moved %d times, shown as %s (%s); want %d, %s", when, p.moves, r.Verdict, r.Hint, moves, s)
			}
		}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			h.begin(2)
			time.Sleep(10 * time.Second)
			sign := func() {
				must(t, h.store.SignedIn(acct, 2, []home.DeviceID{front}))
				h.engine.SignedIn([]home.DeviceID{front})
			}
			sign()
			expect("moved", 1, home.Current)
			h.lan.setBack(front)
			time.Sleep(home.GlanceTime + time.Minute)
			expect("minutes after it was set back", 2, home.Current)
			h.lan.setBack(front)
			time.Sleep(home.GlanceTime + time.Minute)
			expect("set back twice", 2, home.Reverted)
			if r := h.row(front); r.Epoch != 1 || r.Hint == "" {
				t.Errorf("reported at epoch %d with the hint %q", r.Epoch, r.Hint)
			}
			time.Sleep(3 * 24 * time.Hour)
			expect("days later", 2, home.Reverted)
			must(t, h.engine.Rekey([]home.DeviceID{front}, false))
			time.Sleep(10 * time.Second)
			expect("when its owner wants it", 3, home.Current)
		})
	})
}

func TestADeviceIsLookedAtADayAfterItWasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{
			t:       t,
			lan:     &lan{sightings: make(chan []home.Sighting, 16), held: map[home.DeviceID]*played{}},
			recheck: 1000 * time.Hour,
		}
		h.open(t.TempDir())
		h.lan.store = h.store
		must(t, h.store.Enrol(home.Account{ID: acct, Email: "Anna@example.org", NoticeEpoch: 1}, home.Credential{}))
		h.begin(1)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			h.begin(2)
			time.Sleep(10 * time.Minute)
			h.lan.setBack(front) // after the look of some minutes later
			time.Sleep(23 * time.Hour)
			if p := h.lan.now(front); p.moves != 1 {
				t.Errorf("moved %d times before a day has passed", p.moves)
			}
			time.Sleep(time.Hour)
			if p := h.lan.now(front); p.moves != 2 || p.holds != 2 {
				t.Errorf("a day later: moved %d times, holds %d", p.moves, p.holds)
			}
		})
	})
}

const allowFront = "allow it with: rekeyd bind --allow-cleartext-bind mac-000000000001"

func TestAProbePlansTheMoveAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held[back] = &played{match: home.Foreign}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			h.bind(front)
			time.Sleep(time.Second)
			h.lan.mu.Lock()
			h.lan.held[front].refuses = true // so that it stays where it is
			h.lan.mu.Unlock()
			must(t, h.engine.ForbidCleartext([]home.DeviceID{front}))
			h.begin(2)
			time.Sleep(time.Hour)
			before := h.lan.now(front).moves
			if before != 0 {
				t.Errorf("sent a password in the clear %d times without consent", before)
			}
			if r := h.row(front); r.Verdict != home.Stale || r.Hint != allowFront {
				t.Errorf("shown as %s with the hint %q", r.Verdict, r.Hint)
			}
			plans := func() map[home.DeviceID]string {
				ps, err := h.engine.Probe(t.Context(), nil)
				must(t, err)
				out := map[home.DeviceID]string{}
				for _, p := range ps {
					out[p.ID] = string(p.Verdict) + ": " + p.Plan
				}
				return out
			}
			forbidden := "stale: nothing: " + home.ErrCleartext.Error() + "; " + allowFront
			if p := plans(); p[front] != forbidden || p[back] != "foreign: nothing: it belongs to another account" {
				t.Errorf("plans %q", p)
			}
			if h.lan.now(front).moves != before {
				t.Error("a probe moved a device")
			}
			must(t, h.engine.AllowCleartext([]home.DeviceID{front}))
			if p := plans(); !strings.HasPrefix(p[front], "stale: ") || strings.Contains(p[front], allowFront) {
				t.Errorf("plans %q", p)
			}
			if _, err := h.engine.Probe(t.Context(), []home.DeviceID{"mac-x"}); err == nil {
				t.Error("a device that is not there was probed")
			}
		})
	})
}

func TestADeviceThatCannotBeMovedIsRestartedOnceWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1, refuses: true}
		h.run(func() {
			h.take(front)
			h.begin(2)
			time.Sleep(time.Hour)
			if p := h.lan.now(front); p.boots != 0 || p.moves == 0 {
				t.Errorf("restarted %d times unasked, tried %d times", p.boots, p.moves)
			}
			must(t, h.engine.Rekey([]home.DeviceID{front}, true))
			time.Sleep(12 * time.Hour)
			if p := h.lan.now(front); p.boots != 1 {
				t.Errorf("restarted %d times", p.boots)
			}
		})
	})
}

func TestThePlanForADeviceThatRefusedPromisesNoMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1, refuses: true}
		h.run(func() {
			h.take(front)
			plan := func() string {
				t.Helper()
				ps, err := h.engine.Probe(t.Context(), []home.DeviceID{front})
				must(t, err)
				return ps[0].Plan
			}
			h.begin(2)
			time.Sleep(time.Minute)
			if p := plan(); !strings.HasPrefix(p, "nothing: it refused") || !strings.Contains(p, "its own app") {
				t.Errorf("plan %q after a refusal", p)
			}
			h.lan.set(front, func(p *played) { p.refuses = false })
			time.Sleep(time.Hour)
			if p := plan(); p != "nothing: it holds the newest password" {
				t.Errorf("plan %q", p)
			}
		})
	})
}
