package cloudlink_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// stopsAt is a meddler that carries n publications and then nothing at all; it closes reached there.
func stopsAt(n int, reached chan struct{}) meddler {
	return func(_ direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if n < 0 {
			return true
		}
		if _, ok := p.(*packets.PublishPacket); ok {
			if n--; n < 0 {
				close(reached)
				return true
			}
		}
		emit(p)
		return true
	}
}

// interrupted takes a house through one reset for each number of messages, after which restart is called.
func interrupted(t *testing.T, restart func(*house, *hub)) {
	t.Helper()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	b.bind(10)
	b.settled(1, time.Minute)
	for n := range 13 { // a reset of this house takes about ten
		e := home.Epoch(n + 2)
		reached := make(chan struct{})
		h.carrier.set(stopsAt(n, reached))
		h.reset(fmt.Sprintf("number-%d-Horse-Battery", e))
		seen := false
		eventually(t, time.Minute, fmt.Sprintf("message %d", n), func() bool {
			if !seen && b.epoch() == e {
				seen = true
				b.see(e)
				b.bind(1)
			}
			select {
			case <-reached:
				return true
			default:
			}
			es, err := b.store.Errands(1)
			must(t, err)
			return seen && len(es) == 0
		})
		restart(h, b)
		b.waitEpoch(e, time.Minute)
		b.honest()
		b.see(e)
		b.settled(e, time.Minute)
		cs, err := b.store.Credentials(b.account)
		must(t, err)
		if cs[0].Epoch != e || cs[0].Password.Reveal() != fmt.Sprintf("number-%d-Horse-Battery", e) {
			t.Fatalf("stopped after %d messages: the vault lacks epoch %d", n, e)
		}
	}
	must(t, b.store.Check())
}

func TestAHubThatStopsAfterAnyMessageGoesOn(t *testing.T) {
	t.Parallel()
	interrupted(t, func(h *house, b *hub) {
		b.stop()
		h.carrier.set(nil)
		b.start()
	})
}

func TestAServiceThatStopsAfterAnyMessageGoesOn(t *testing.T) {
	t.Parallel()
	interrupted(t, func(h *house, _ *hub) {
		h.stop()
		h.carrier.set(nil)
		h.start()
	})
}

func TestAHubThatWasAwayGetsEveryGrant(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	var mu sync.Mutex // guards began
	var began []home.Epoch
	b := h.hub(func(o *cloudlink.Options) {
		o.Began = func(e home.Epoch) {
			mu.Lock()
			began = append(began, e)
			mu.Unlock()
		}
	})
	b.enrol()
	b.bind(3)
	b.settled(1, time.Minute)
	b.stop()
	for e := 2; e <= 4; e++ {
		h.reset(fmt.Sprintf("number-%d-Horse-Battery", e))
	}
	b.start()
	b.waitEpoch(4, time.Minute)
	b.see(4)
	b.settled(4, time.Minute)
	mu.Lock()
	if !slices.Equal(began, []home.Epoch{1, 2, 3, 4}) {
		t.Errorf("began %v, want each in order", began)
	}
	mu.Unlock()
	cs, err := b.store.Credentials(b.account)
	must(t, err)
	for i, c := range cs[:3] {
		if e := home.Epoch(4 - i); c.Epoch != e || c.Password.Reveal() != fmt.Sprintf("number-%d-Horse-Battery", e) ||
			c.EpochSecret.IsZero() {
			t.Errorf("epoch %d at place %d of the vault", c.Epoch, i)
		}
	}
}

func TestAWithheldGrantIsAskedFor(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(func(o *cloudlink.Options) { o.AskEvery = 300 * time.Millisecond })
	b.enrol()
	withheld := make(chan struct{}, 64)
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if pub, ok := p.(*packets.PublishPacket); ok && d == down {
			m, err := wire.ParseMessage(pub.Payload)
			if err != nil || m.Re == "" { // a notice, or a grant that comes by itself
				select {
				case withheld <- struct{}{}:
				default:
				}
				return true
			}
		}
		emit(p)
		return true
	})
	h.reset("second-Horse-Battery")
	b.waitEpoch(2, time.Minute)
	select { // the answer may have overtaken it
	case <-withheld:
	case <-time.After(time.Minute):
		t.Error("nothing was withheld")
	}
	h.carrier.set(nil)
}

func TestADeafConnectionIsMadeAnew(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(func(o *cloudlink.Options) { o.Patience = 100 * time.Millisecond })
	b.enrol()
	b.bind(1)
	b.settled(1, time.Minute)
	dials, asked := h.carrier.dialled(), 0
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if _, ok := p.(*packets.PublishPacket); ok && h.carrier.dials == dials { // its subscriptions are lost
			if d == down {
				return true
			}
			asked++
		}
		emit(p)
		return true
	})
	b.bind(1)
	b.settled(1, time.Minute)
	h.carrier.set(nil)
	if h.carrier.dialled() == dials {
		t.Error("settled over a deaf connection")
	}
	if asked < 2 { // the third may be cut off together with the connection
		t.Errorf("made anew after %d requests without an answer, want 3", asked)
	}
}
