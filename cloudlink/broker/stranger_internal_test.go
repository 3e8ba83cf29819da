package broker

import (
	"fmt"
	"testing"
	"time"
)

func TestAnAddressConnectsStrangersOnlySoOften(t *testing.T) {
	var s strangers
	now := time.Unix(1_700_000_000, 0)
	admitted := func(remote string, n int) (ok int) {
		for range n {
			if s.admit(remote, now) {
				ok++
			}
		}
		return ok
	}
	if got := admitted("192.0.2.1:1000", 500); got != strangerConnects {
		t.Errorf("%d connects at once, want %d", got, strangerConnects)
	}
	if got := admitted("192.0.2.2:1000", 5); got != 5 {
		t.Errorf("another address: %d of 5", got)
	}
	if got := admitted("[2001:db8::1]:1", 50) + admitted("[2001:db8::2:2]:1", 50); got != strangerConnects {
		t.Errorf("one network of IPv6: %d, want %d", got, strangerConnects)
	}
	now = now.Add(10 * strangerEvery)
	if got := admitted("192.0.2.1:2000", 500); got != 10 {
		t.Errorf("%d after ten pauses, want 10", got)
	}
}

func TestTheAddressesOfStrangersAreBounded(t *testing.T) {
	var s strangers
	now := time.Unix(1_700_000_000, 0)
	at := func(i int) string { return fmt.Sprintf("10.0.%d.%d:1", i/256, i%256) }
	for i := range 2 * maxStrangers {
		if ok := s.admit(at(i), now); ok != (i < maxStrangers) {
			t.Fatalf("address %d: %v", i, ok)
		}
	}
	now = now.Add(strangerConnects * strangerEvery)
	if !s.admit(at(maxStrangers), now) || len(s.paid) != 1 {
		t.Errorf("%d addresses are remembered after their pause, want 1", len(s.paid))
	}
}
