package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What was seen to hold the newest epoch holds an older one from the moment at which a new one begins: whether or not
// it is bound, and whether or not it answers.
func TestUnboundDeviceIsStaleAsSoonAsANewEpochBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.see(front)
			time.Sleep(time.Second)
			if r := h.row(front); r.Verdict != home.Current || r.Epoch != 1 {
				t.Fatalf("shown as %s at %d", r.Verdict, r.Epoch)
			}
			h.begin(2)
			if r := h.row(front); r.Verdict != home.Stale || r.Epoch != 1 || r.Hint == "" {
				t.Errorf("shown as %s at %d (hint %q) when epoch 2 has begun", r.Verdict, r.Epoch, r.Hint)
			}
		})
	})
}
