package cloudlink_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// hasty is a hub that does not wait long, for tests in which much is lost.
func hasty(o *cloudlink.Options) {
	o.Patience, o.AskEvery, o.Batch = 150*time.Millisecond, 2*time.Second, 8
}

func TestAHostileCarrierDelaysAndNothingElse(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			h := open(t, "")
			b := h.hub(hasty)
			b.enrol()
			h.carrier.set(mischief{drop: .1, double: .1, delay: .1, replay: .1, flip: .1, acks: .05, cut: .004}.meddler(seed))
			b.bind(40)
			survive(t, b, 1)
			for e := home.Epoch(2); e <= 3; e++ {
				h.reset(fmt.Sprintf("number-%d-Horse-Battery", e))
				b.waitEpoch(e, time.Minute)
				b.see(e)
				survive(t, b, e)
			}
			h.carrier.set(nil)
			b.settled(3, time.Minute)
			if f := b.dropped(); f["forged"]+f["malformed"] == 0 {
				t.Errorf("nothing was found flipped: %v", f)
			}
			must(t, b.store.Check())
		})
	}
}

// survive waits for the end state and checks the promise all the while.
func survive(t *testing.T, b *hub, e home.Epoch) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("no errand left at epoch %d", e), func() bool {
		b.honest()
		es, err := b.store.Errands(1)
		must(t, err)
		return len(es) == 0
	})
	b.settled(e, time.Minute)
}

func TestLostAcknowledgementsLoseNothing(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	h.carrier.set(mischief{acks: .05}.meddler(1))
	b.bind(200)
	survive(t, b, 1)
	for e := home.Epoch(2); e <= 3; e++ {
		h.reset(fmt.Sprintf("number-%d-Horse-Battery", e))
		b.waitEpoch(e, time.Minute)
		b.see(e)
		survive(t, b, e)
	}
	for reason, n := range b.dropped() {
		// come twice, the second time perhaps an epoch later
		if n > 0 && reason != "replayed" && reason != "unexpected" && reason != "old" {
			t.Errorf("%d messages dropped as %s", n, reason)
		}
	}
}
