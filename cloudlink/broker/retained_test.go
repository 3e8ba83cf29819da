package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// A hub publishes its status while the service subscribes to those of all: the race detector watches.
func TestRetainedMessagesAreReadWhileOthersArePublished(t *testing.T) {
	h := start(t)
	hub, _ := h.dial(t, h.hub)
	publish(t, hub, wire.StatusTopic(h.hub.Name), "first", true)
	var enough atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; !enough.Load(); i++ {
			publish(t, hub, wire.StatusTopic(h.hub.Name), fmt.Sprint(i), true)
		}
	}()
	for range 30 {
		svc, in := h.dial(t, h.svc)
		if !subscribe(t, svc, wire.Statuses()) {
			t.Fatal("not subscribed")
		}
		for m := receive(t, in); !m.Retained(); m = receive(t, in) {
		}
		svc.Disconnect(250)
	}
	enough.Store(true)
	<-ended
	svc, in := h.dial(t, h.svc)
	publish(t, hub, wire.StatusTopic(h.hub.Name), "last", true)
	subscribe(t, svc, wire.Statuses())
	if m := receive(t, in); string(m.Payload()) != "last" || !m.Retained() {
		t.Errorf("got %q, retained %t", m.Payload(), m.Retained())
	}
}
