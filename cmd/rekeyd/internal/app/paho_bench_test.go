package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// tap records what clients send to a broker while it is on.
type tap struct {
	on atomic.Bool

	mu    sync.Mutex // guards conns, and sent of each
	conns []*tapConn
}

type tapConn struct {
	net.Conn
	tap  *tap
	sent []byte
}

type tapListener struct {
	net.Listener
	tap *tap
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tapConn{Conn: c, tap: l.tap}
	l.tap.mu.Lock()
	defer l.tap.mu.Unlock()
	l.tap.conns = append(l.tap.conns, t)
	return t, nil
}

func (c *tapConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.tap.on.Load() {
		c.tap.mu.Lock()
		c.sent = append(c.sent, b[:n]...)
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
		for r := bytes.NewReader(c.sent); ; {
			p, err := packets.ReadPacket(r)
			if errors.Is(err, io.EOF) {
				break
			}
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
	const window = benchWindow
	if t.count() == 0 {
		b.Skip("the messages are recorded by broker=embedded/by=rekeyd, which did not run")
	}
	hub, service := benchIdentity(b, wire.RoleHub), benchIdentity(b, wire.RoleService)
	if len(brokers) == 0 {
		brokers = []string{startEmbedded(b, service.Name)}
	}
	arrived := make(chan struct{}, 2*window)
	hubEnd := pahoClient(b, brokers[0], hub, wire.InboxTopic(hub.Name), arrived)
	serviceEnd := pahoClient(b, brokers[0], service, wire.OutboxTopic(hub.Name), arrived)
	b.ResetTimer()
	for range b.N {
		var senders sync.WaitGroup
		room := make(chan struct{}, 2*window) // a broker drops what it has no room for
		send := func(from paho.Client, topic string, sizes []int) {
			payload := make([]byte, wire.MaxMessage)
			var next atomic.Int64
			for range window {
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
	o.SetProtocolVersion(
		4,
	).SetCleanSession(
		true,
	).SetAutoReconnect(
		false,
	).SetOrderMatters(
		true,
	).SetStore(
		paho.NewMemoryStore(),
	)
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

// oneAccount is a directory in which everybody is a member of one account.
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

// startMosquitto runs Debian's mosquitto until b ends, without persistence, as the embedded broker is.
func startMosquitto(b *testing.B) (url string) {
	b.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			b.Skip("mosquitto is not installed (Debian: mosquitto)")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	conf := filepath.Join(b.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf(
		"listener %s 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nmax_queued_messages 10000\n",
		port,
	)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, "-c", conf)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitAnswers(b, "127.0.0.1:"+port)
	return "mqtt://127.0.0.1:" + port
}

// waitAnswers waits until a port is open.
func waitAnswers(b *testing.B, addr string) {
	b.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return
		}
	}
	b.Fatalf("%s is not open within 10 s", addr)
}
