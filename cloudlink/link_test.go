package cloudlink_test

import (
	"testing"
	"time"
)

func TestAHouseFollowsAReset(t *testing.T) {
	follow(t, open(t, ""), 300)
}

// follow takes a house of n devices from its enrolment through a reset.
func follow(t *testing.T, h *house, n int) {
	t.Helper()
	b := h.hub(nil)
	b.enrol()
	b.bind(n)
	b.settled(1, time.Minute)
	if up, why := b.link.State(); !up {
		t.Errorf("the link is down: %s", why)
	}

	h.reset("second-Horse-Battery")
	for d, on := range h.online() {
		if on {
			t.Fatalf("%s is still signed in after the reset", d)
		}
	}
	b.waitEpoch(2, time.Minute)
	cs, err := b.store.Credentials(b.account)
	must(t, err)
	if len(cs) < 2 || cs[0].Epoch != 2 || cs[0].Password.Reveal() != "second-Horse-Battery" || cs[0].Username != email {
		t.Fatal("the vault lacks the new password")
	}
	for d, on := range h.online() {
		if on {
			t.Fatalf("%s is signed in before anybody saw it hold the new password", d)
		}
	}
	b.see(2)
	b.settled(2, time.Minute)
	if got := len(h.online()); got != n {
		t.Fatalf("%d devices listed, want %d", got, n)
	}
	for reason, n := range b.dropped() {
		// a grant comes by itself and is asked for; an answer may cross the reconnect of an enrolment
		if n > 0 && reason != "replayed" && reason != "unexpected" {
			t.Errorf("%d messages dropped as %s", n, reason)
		}
	}
	if got := b.began.Load(); got != 2 {
		t.Errorf("Began was called for %d epochs, want 2", got)
	}
	must(t, b.store.Check())
}
