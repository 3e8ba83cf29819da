package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next waits for a value of another goroutine.
func next[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("no %s in 10 s", what)
	}
	panic("not reached")
}

// fake is a broker of which a test plays every move.
type fake struct {
	t       testing.TB
	l       net.Listener
	clients chan *client
	all     sync.WaitGroup
}

// client is one connection to a fake: its packets after its CONNECT.
type client struct {
	t     testing.TB
	conn  net.Conn
	hello *packets.ConnectPacket
	in    chan packets.ControlPacket // closed when the connection ends
}

// fakeBroker opens a broker that answers CONNECT with a code.
func fakeBroker(t testing.TB, code byte) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return fakeOn(t, l, code)
}

func fakeOn(t testing.TB, l net.Listener, code byte) *fake {
	t.Helper()
	f := &fake{t: t, l: l, clients: make(chan *client, 100)}
	var mu sync.Mutex // guards open
	var open []net.Conn
	f.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			f.all.Go(func() { f.serve(conn, code) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		f.all.Wait()
	})
	return f
}

func (f *fake) url() string { return "mqtt://" + f.l.Addr().String() }

func (f *fake) serve(conn net.Conn, code byte) {
	defer conn.Close()
	p, err := packets.ReadPacket(conn)
	if err != nil {
		return
	}
	hello, ok := p.(*packets.ConnectPacket)
	if !ok {
		f.t.Errorf("a connection begins with %v", p)
		return
	}
	c := &client{t: f.t, conn: conn, hello: hello, in: make(chan packets.ControlPacket, 10_000)}
	defer close(c.in)
	answer := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	answer.ReturnCode = code
	err = answer.Write(conn)
	f.clients <- c // only now: a packet of the test must not come before the answer
	if err != nil {
		return
	}
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		c.in <- p
	}
}

func (c *client) next() packets.ControlPacket {
	c.t.Helper()
	return next(c.t, "packet of the client", c.in)
}

// allow answers the next packet, a SUBSCRIBE, with a code for each filter.
func (c *client) allow(code byte) *packets.SubscribePacket {
	c.t.Helper()
	s, ok := c.next().(*packets.SubscribePacket)
	if !ok {
		c.t.Fatal("not a SUBSCRIBE")
	}
	a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	a.MessageID = s.MessageID
	for range s.Topics {
		a.ReturnCodes = append(a.ReturnCodes, code)
	}
	must(c.t, a.Write(c.conn))
	return s
}

func (c *client) publish(id uint16, payload string) {
	c.t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, id, "a/topic", []byte(payload)
	must(c.t, p.Write(c.conn))
}

// puback waits for the acknowledgement of a message.
func (c *client) puback() uint16 {
	c.t.Helper()
	for {
		if a, ok := c.next().(*packets.PubackPacket); ok {
			return a.MessageID
		}
	}
}

// run runs a connection until the test ends, or stop is called; what Run returned comes out of done.
func run(t testing.TB, o mqtt.Options) (c *mqtt.Conn, stop func(), done chan error) {
	t.Helper()
	o.ClientID, o.Username, o.Password = "me", "me", home.NewSecret("pw")
	if o.Filters == nil {
		o.Filters = []string{"a/topic"}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Receive == nil {
		o.Receive = func(mqtt.Message) {}
	}
	o.MinPause = 5 * time.Millisecond
	c, err := mqtt.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done = make(chan error, 1)
	var end sync.WaitGroup
	end.Go(func() { done <- c.Run(ctx) })
	stop = func() { cancel(); end.Wait() }
	t.Cleanup(stop)
	return c, stop, done
}

func TestASubscriptionThatIsRefusedOnceIsAskedForAgain(t *testing.T) {
	f := fakeBroker(t, 0)
	up := make(chan bool, 10)
	run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(is bool) { up <- is }})
	c := next(t, "client", f.clients)
	first := c.allow(0x91) // MQTT 5's "packet identifier in use", which mochi sends to any client
	second := c.allow(1)
	if first.MessageID == second.MessageID {
		t.Error("asked for again with the same packet identifier")
	}
	if !next(t, "word that it is up", up) {
		t.Error("down, want up")
	}
	if n := len(f.clients); n != 0 {
		t.Errorf("%d connections more", n)
	}
}

func TestASubscriptionThatStaysRefusedEndsTheConnection(t *testing.T) {
	f := fakeBroker(t, 0)
	run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(bool) { t.Error("up without a subscription") }})
	c := next(t, "client", f.clients)
	for p := range c.in { // until it gives up
		if s, ok := p.(*packets.SubscribePacket); ok {
			a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			a.MessageID, a.ReturnCodes = s.MessageID, []byte{0x80}
			must(t, a.Write(c.conn))
		}
	}
	next(t, "second connection", f.clients)
}

func TestAMessageIsAcknowledgedOnlyAfterItWasReceived(t *testing.T) {
	f := fakeBroker(t, 0)
	got, taken := make(chan string), make(chan bool)
	run(t, mqtt.Options{Brokers: []string{f.url()}, Receive: func(m mqtt.Message) { got <- string(m.Payload); <-taken }})
	c := next(t, "client", f.clients)
	c.publish(7, "one") // of a kept session, before the subscription is answered
	c.publish(8, "two")
	c.allow(1)
	for i, want := range []string{"one", "two"} {
		if m := next(t, "message", got); m != want {
			t.Fatalf("received %q, want %q", m, want)
		}
		select {
		case p := <-c.in:
			t.Fatalf("the client sends %v before %q was received", p, want)
		case <-time.After(20 * time.Millisecond): // nothing can prove that it never comes
		}
		taken <- true
		if id := c.puback(); id != uint16(7+i) {
			t.Fatalf("acknowledged %d, want %d", id, 7+i)
		}
	}
}

func TestAMessageThatIsBeingReceivedWhenAllEndsIsReceivedOnce(t *testing.T) {
	f := fakeBroker(t, 0)
	got, taken := make(chan string), make(chan bool)
	_, stop, _ := run(
		t, mqtt.Options{Brokers: []string{f.url()}, Receive: func(m mqtt.Message) { got <- string(m.Payload); <-taken }},
	)
	c := next(t, "client", f.clients)
	c.allow(1)
	c.publish(1, "one")
	c.publish(2, "two")
	next(t, "message", got)
	stopped := make(chan bool)
	go func() { stop(); stopped <- true }()
	select {
	case <-stopped:
		t.Fatal("Run returned while Receive had not")
	case <-time.After(20 * time.Millisecond):
	}
	taken <- true
	for {
		select {
		case <-got: // the second may still be taken, or not
			taken <- true
			continue
		case <-stopped:
		}
		break
	}
}

func TestABurstLosesNothingAtASlowReceiver(t *testing.T) {
	const burst = 5000
	f := fakeBroker(t, 0)
	got := make(chan string, burst)
	first := true
	run(t, mqtt.Options{Brokers: []string{f.url()}, Receive: func(m mqtt.Message) {
		if first {
			time.Sleep(100 * time.Millisecond) // lets everything pile up
			first = false
		}
		got <- string(m.Payload)
	}})
	c := next(t, "client", f.clients)
	c.allow(1)
	go func() {
		for i := range burst {
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.Qos, p.MessageID, p.TopicName, p.Payload = 1, uint16(i+1), "a/topic", fmt.Append(nil, i)
			if p.Write(c.conn) != nil {
				return
			}
		}
	}()
	for i := range burst {
		if m := next(t, "message", got); m != fmt.Sprint(i) {
			t.Fatalf("message %s, want %d", m, i)
		}
	}
	for i := range burst {
		if id := c.puback(); id != uint16(i+1) {
			t.Fatalf("acknowledged %d, want %d", id, i+1)
		}
	}
}
