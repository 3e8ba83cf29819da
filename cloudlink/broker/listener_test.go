package broker_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// shortListener is a listener whose first accepts fail for want of file descriptors.
type shortListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptIsRepeatedAfterAShortageOfDescriptors(t *testing.T) {
	short := &shortListener{Listener: listen(t)}
	short.failures.Store(5)
	h := startOn(t, short)
	h.dial(t, h.hub)
	if n := short.failures.Load(); n >= 0 {
		t.Fatalf("%d failures are left: the test has shown nothing", n)
	}
}

func TestASecondServeEqualsTheFirst(t *testing.T) {
	h := startOn(t, listen(t))
	h.stop()
	h.serve(t, listen(t))
	svc, _ := h.dial(t, h.svc)
	hub, in := h.dial(t, h.hub)
	subscribe(t, hub, wire.InboxTopic(h.hub.Name))
	publish(t, svc, wire.InboxTopic(h.hub.Name), "again", false)
	if m := receive(t, in); string(m.Payload()) != "again" {
		t.Fatalf("got %q", m.Payload())
	}
}

func TestAListenerThatFailsEndsServeWithItsError(t *testing.T) {
	b, err := broker.New(broker.Options{
		Directory: &directory{}, Service: identity(t, wire.RoleService).Name, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("this listener is broken")
	if err := b.Serve(t.Context(), brokenListener{listen(t), broken}); !errors.Is(err, broken) {
		t.Fatalf("Serve returned %v", err)
	}
}

type brokenListener struct {
	net.Listener
	err error
}

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }

func TestASilentConnectionDelaysNothing(t *testing.T) {
	h := start(t)
	for range 20 {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	h.dial(t, h.hub) // and the end of the test does not wait for the silent ones
}

func TestTheQueueOfAnAbsentMemberIsCapped(t *testing.T) {
	h := start(t)
	svc, _ := h.dial(t, h.svc)
	hub, _, err := h.try(h.hub, func(o *paho.ClientOptions) { o.SetCleanSession(false) })
	if err != nil {
		t.Fatal(err)
	}
	subscribe(t, hub, wire.InboxTopic(h.hub.Name))
	hub.Disconnect(100)
	const sent = 3000
	toks := make([]paho.Token, sent)
	for i := range toks {
		toks[i] = svc.Publish(wire.InboxTopic(h.hub.Name), 1, false, "word")
	}
	for _, tok := range toks {
		if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	var n atomic.Int64
	ended := make(chan struct{}, sent)
	hub, _, err = h.try(h.hub, func(o *paho.ClientOptions) {
		o.SetCleanSession(false).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			if string(m.Payload()) == "end" {
				ended <- struct{}{}
			} else {
				n.Add(1)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Disconnect(0)
	for tries := 0; ; tries++ { // while its queue is full, this is lost as well
		publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
		select {
		case <-ended:
			if got := n.Load(); got < 1000 || got > 1024 {
				t.Errorf("%d of %d messages were kept for an absent member, want about 1024", got, sent)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
		if tries == 200 {
			t.Fatal("nothing came")
		}
	}
}
