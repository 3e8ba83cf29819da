package daemon_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestADeviceHasTheNameThatItsOwnerGives renames devices, also with names that are refused.
func TestADeviceHasTheNameThatItsOwnerGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			const front, back = "mac-50c7bf000001", "mac-50c7bf000002"
			h.lan.held[front], h.lan.held[back] = &played{match: home.Ours, holds: 1}, &played{match: home.Ours, holds: 1}
			h.take(front)
			h.see(front, back)
			time.Sleep(time.Second)
			must(t, h.engine.Rename(front, " Лампа 1 "))
			_, rows, err := h.engine.House()
			must(t, err)
			if r := h.row(front); r.Name != "Лампа 1" || r.Label() != "Лампа 1" {
				t.Errorf("it is called %q", r.Name)
			}
			if ids, err := daemon.Named(rows, []string{"лампа 1"}); err != nil || ids[0] != front {
				t.Errorf("by its new name: %v, %v", ids, err)
			}
			for _, name := range []string{
				back, strings.ToUpper(back), "x\x1b[2J", "a\u202eb", "a  b", strings.Repeat("x", 81), "\xff",
			} {
				if err := h.engine.Rename(front, name); err == nil || home.HintOf(err) == "" {
					t.Errorf("the name %q: %v", name, err)
				}
			}
			if err := h.engine.Rename(back, "free"); home.ErrorCode(err) != "not-found" {
				t.Errorf("a device that is not bound: %v", err)
			}
			must(t, h.engine.Rename(front, ""))
			if r := h.row(front); r.Name != front {
				t.Errorf("its own name back: %q", r.Name)
			}
		})
	})
}

// TestADeviceThatIsGoneIsForgotten forgets a bound device that has left, and finds it anew when it is back.
func TestADeviceThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.run(func() {
			const id = "mac-50c7bf000001"
			h.lan.held[id] = &played{match: home.Ours, holds: 1}
			h.take(id)
			if err := h.engine.Forget([]home.DeviceID{id}); err == nil || !strings.Contains(home.HintOf(err), "unbind "+id) {
				t.Errorf("a device that is here: %v", err)
			}
			if err := h.engine.Forget([]home.DeviceID{"mac-unknown"}); home.ErrorCode(err) != "not-found" {
				t.Errorf("an unknown device: %v", err)
			}
			gone := sighting("mac:50c7bf000001")
			gone[0].Gone = true
			h.lan.sightings <- gone
			time.Sleep(10 * time.Second)
			must(t, h.engine.Forget([]home.DeviceID{id}))
			time.Sleep(10 * time.Second)
			if _, rows, err := h.engine.House(); err != nil || len(rows) != 0 {
				t.Errorf("the house has %+v, %v", rows, err)
			}
			h.see(id)
			time.Sleep(10 * time.Second)
			if r := h.row(id); r.Bound || r.LeftOut || r.Left {
				t.Errorf("back: %+v", r)
			}
		})
	})
}
