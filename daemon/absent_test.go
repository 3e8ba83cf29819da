package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// A device that restarts in the middle of a reset is asked again within seconds, and not at the next sweep only.
func TestADeviceThatIsBrieflyOffIsAskedAgainWithinSeconds(t *testing.T) {
	for _, off := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 6 * time.Second, 14 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.lan.held[front] = &played{match: home.Ours, holds: 1}
			h.run(func() {
				h.take(front)
				time.Sleep(time.Second)
				h.lan.set(front, func(p *played) { p.off = true })
				h.begin(2)
				time.Sleep(off)
				h.lan.set(front, func(p *played) { p.off = false })
				time.Sleep(max(2*off, 2*time.Second))
				if p := h.lan.now(front); p.holds != 2 {
					t.Errorf("off for %v: it holds epoch %d", off, p.holds)
				}
			})
		})
	}
}

// Seconds are for a device that was sighted lately: one that stays away is asked more and more seldom.
func TestADeviceThatStaysAwayIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			h.lan.set(front, func(p *played) { p.off = true })
			h.begin(2)
			before := h.lan.now(front).probes
			time.Sleep(time.Hour)
			if n := h.lan.now(front).probes - before; n < 6 || n > 12 {
				t.Errorf("asked %d times in an hour", n)
			}
		})
	})
}
