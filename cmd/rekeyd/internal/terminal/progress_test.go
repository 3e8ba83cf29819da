package terminal

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestABarIsDrawnAfterASecondAndTakenBack takes steps that are quick, slow, and on no terminal.
func TestABarIsDrawnAfterASecondAndTakenBack(t *testing.T) {
	for _, c := range []struct {
		screen Screen
		pause  time.Duration
		drawn  string
	}{
		{Screen{Width: 80}, 200 * time.Millisecond, ""},
		{Screen{Width: 80}, 700 * time.Millisecond, "2 of 3"},
		{Screen{}, time.Minute, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b strings.Builder
			p := newProgress(&b, c.screen, "Asking devices")
			for n := range 4 {
				p.Set(n, 3)
				time.Sleep(c.pause)
			}
			shown := b.String()
			p.End()
			p.Set(3, 3)
			if (shown == "") != (c.drawn == "") || !strings.Contains(shown, c.drawn) {
				t.Errorf("steps of %v: drawn was %q", c.pause, shown)
			}
			if left := emulate(t, b.String(), 24); len(left) != 1 || left[0] != "" {
				t.Errorf("steps of %v: afterwards there is %q", c.pause, left)
			}
			time.Sleep(time.Minute)
			if again := b.String(); shown != "" && !strings.HasSuffix(again, "\x1b[K") {
				t.Errorf("drawn after its end: %q", again)
			}
		})
	}
}
