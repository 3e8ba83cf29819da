package app

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

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

// tap is a broker's listener that records the bytes of its clients while it is on.
type tap struct {
	net.Listener
	on atomic.Bool

	mu    sync.Mutex // guards conns, and sent of each
	conns []*tappedConn
}

type tappedConn struct {
	net.Conn
	tap  *tap
	sent bytes.Buffer
}

func (t *tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	tapped := &tappedConn{Conn: c, tap: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = append(t.conns, tapped)
	return tapped, err
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.tap.on.Load() {
		c.tap.mu.Lock()
		c.sent.Write(b[:n])
		c.tap.mu.Unlock()
	}
	return n, err
}

// traffic returns the publications that were recorded. Recording must begin between two packets.
func (t *tap) traffic(b *testing.B) (moved traffic) {
	b.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		for c.sent.Len() > 0 {
			p, err := packets.ReadPacket(&c.sent)
			if err != nil {
				b.Fatal(err)
			}
			m, isPublish := p.(*packets.PublishPacket)
			switch {
			case !isPublish:
			case strings.HasSuffix(m.TopicName, "/outbox"):
				moved.up = append(moved.up, len(m.Payload))
			default:
				moved.down = append(moved.down, len(m.Payload))
			}
		}
	}
	return moved
}

// pahoMoves has two paho clients move messages of the sizes in t, as many at once each way as the link, QoS 1, over the
// embedded broker or another: no JSON, no signature, no proof, nothing on disk.
func pahoMoves(b *testing.B, t traffic, brokers ...string) {
	if t.count() == 0 {
		b.Skip("the messages are recorded by broker=embedded/by=rekeyd, which did not run")
	}
	hub, service := benchIdentity(b, wire.RoleHub), benchIdentity(b, wire.RoleService)
	if len(brokers) == 0 {
		brokers = []string{startEmbedded(b, service.Name)}
	}
	arrived := make(chan struct{}, 2*benchWindow)
	hubEnd := pahoClient(b, brokers[0], hub, wire.InboxTopic(hub.Name), arrived)
	serviceEnd := pahoClient(b, brokers[0], service, wire.OutboxTopic(hub.Name), arrived)
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
	b.ReportMetric(benchDevices*float64(b.N)/b.Elapsed().Seconds(), "devices/s")
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
func pahoClient(b *testing.B, url string, id *wire.Identity, filter string, arrived chan<- struct{}) paho.Client {
	b.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id.Name).SetUsername(id.Name).SetPassword(id.Login().Reveal())
	o.SetProtocolVersion(4).SetAutoReconnect(false).SetStore(paho.NewMemoryStore())
	c := paho.NewClient(o)
	finished(b, c.Connect())
	b.Cleanup(func() { c.Disconnect(100) })
	finished(b, c.Subscribe(filter, 1, func(paho.Client, paho.Message) { arrived <- struct{}{} }))
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
