package cloudlink_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Devices of a house come back one after the other. What one of them costs (four commits, six messages) many can share.
func TestErrandsThatComeWhileARequestWaitsShareTheNext(t *testing.T) {
	h := open(t, "")
	b := h.hub(nil)
	b.enrol()
	b.bind(40)
	b.settled(1, time.Minute)
	h.reset("second-Horse-Battery")
	b.waitEpoch(2, time.Minute)

	var begun atomic.Int64
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		pub, ok := p.(*packets.PublishPacket)
		if d == down && ok { // so that one conversation is open while others could be
			time.AfterFunc(60*time.Millisecond, func() { emit(p) })
			return true
		}
		if ok {
			if m, err := wire.ParseMessage(pub.Payload); err == nil && m.Type == "sign-in" {
				begun.Add(1)
			}
		}
		emit(p)
		return true
	})
	began := time.Now()
	for _, d := range b.devices {
		if _, err := b.store.Observe(d, home.Verdict{State: home.Current, Epoch: 2}, 0, time.Now()); err != nil {
			t.Fatal(err)
		}
		b.link.Wake()
	}
	b.settled(2, time.Minute)
	// One look in 20 ms, as long as there was anything to see; and one for the first, one for the last.
	if most := 2 + int64(time.Since(began)/(20*time.Millisecond)); begun.Load() > most || begun.Load() >= 40 {
		t.Errorf("%d conversations for 40 devices in %v, at most %d", begun.Load(), time.Since(began), most)
	}
}
