package app

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// traffic is the sizes of messages: of the hub, and of the service.
type traffic struct{ up, down []int }

func (t traffic) count() int { return len(t.up) + len(t.down) }

func (t traffic) bytes() (n int) {
	for _, sizes := range [][]int{t.up, t.down} {
		for _, s := range sizes {
			n += s
		}
	}
	return n
}

// record returns the publications at a broker that shows them to everybody, from now until it is stopped.
func record(b *testing.B, broker string) (stop func() traffic) {
	var moved traffic
	var mu sync.Mutex // guards moved
	c := pahoClient(b, broker, benchIdentity(b, wire.RoleHub), "#", func(m paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(m.Topic(), "/outbox") {
			moved.up = append(moved.up, len(m.Payload()))
		} else if !m.Retained() {
			moved.down = append(moved.down, len(m.Payload()))
		}
	})
	return func() traffic {
		c.Disconnect(1000)
		mu.Lock()
		defer mu.Unlock()
		return moved
	}
}

// pahoMoves has two paho clients move messages of the sizes in t, as many at once each way as the link, QoS 1, over the
// embedded broker or another: no JSON, no signature, no proof, nothing on disk.
func pahoMoves(b *testing.B, t traffic, brokers ...string) {
	hub, service := benchIdentity(b, wire.RoleHub), benchIdentity(b, wire.RoleService)
	if len(brokers) == 0 {
		brokers = []string{startEmbedded(b, service.Name)}
	}
	arrived := make(chan paho.Message, 2*benchWindow)
	arrive := func(m paho.Message) { arrived <- m }
	hubEnd := pahoClient(b, brokers[0], hub, wire.InboxTopic(hub.Name), arrive)
	serviceEnd := pahoClient(b, brokers[0], service, wire.OutboxTopic(hub.Name), arrive)
	b.ResetTimer()
	for range b.N {
		var senders sync.WaitGroup
		room := make(chan struct{}, 2*benchWindow) // a broker drops what it has no room for
		send := func(from paho.Client, topic string, sizes []int) {
			payload := make([]byte, wire.MaxMessage)
			var next atomic.Int64
			for range benchWindow {
				senders.Go(func() {
					for i := next.Add(1) - 1; i < int64(len(sizes)); i = next.Add(1) - 1 {
						room <- struct{}{}
						finished(b, from.Publish(topic, 1, false, payload[:sizes[i]]))
					}
				})
			}
		}
		send(hubEnd, wire.OutboxTopic(hub.Name), t.up)
		send(serviceEnd, wire.InboxTopic(hub.Name), t.down)
		for range t.count() {
			<-arrived
			<-room
		}
		senders.Wait()
	}
	report(b, benchDevices, b.Elapsed())
	b.ReportMetric(float64(t.count()), "messages")
	b.ReportMetric(float64(t.bytes())/1e6, "MB")
}

func benchIdentity(b *testing.B, role wire.Role) *wire.Identity {
	b.Helper()
	id, err := wire.NewIdentity(role, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// pahoClient connects with the options that the link uses.
func pahoClient(b *testing.B, url string, id *wire.Identity, filter string, take func(paho.Message)) paho.Client {
	b.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id.Name).SetUsername(id.Name).SetPassword(id.Login().Reveal())
	o.SetProtocolVersion(4).SetAutoReconnect(false).SetStore(paho.NewMemoryStore())
	c := paho.NewClient(o)
	finished(b, c.Connect())
	b.Cleanup(func() { c.Disconnect(100) })
	finished(b, c.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) { take(m) }))
	return c
}

func finished(b *testing.B, t paho.Token) {
	if !t.WaitTimeout(time.Minute) || t.Error() != nil {
		b.Errorf("paho: %v", t.Error())
	}
}

// oneAccount is a directory in which every name is a member of one account.
type oneAccount struct{ broker.Directory }

func (oneAccount) AccountOf(string) (string, bool) { return "a", true }

// startEmbedded runs the embedded broker alone, until b ends.
func startEmbedded(b *testing.B, service string) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	e, err := broker.New(broker.Options{Directory: oneAccount{}, Service: service, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(ctx, l) }()
	b.Cleanup(func() { stop(); <-ended })
	return "mqtt://" + l.Addr().String()
}
