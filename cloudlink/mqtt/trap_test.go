package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// moments is a log that keeps when it was written to.
type moments struct {
	slog.Handler
	at []time.Time
}

func (m *moments) Handle(_ context.Context, r slog.Record) error {
	m.at = append(m.at, r.Time)
	return nil
}

func TestPausesBetweenDialsGrowAndAreNotTheSame(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	synctest.Test(t, func(t *testing.T) { // a refused dial takes no time, so all of it is pauses
		log := &moments{Handler: slog.DiscardHandler}
		c, err := mqtt.New(mqtt.Options{
			Brokers: []string{"mqtt://" + closed.Addr().String()}, ClientID: "me", Receive: func(mqtt.Message) {},
			Log:      slog.New(&all{log}),
			MinPause: time.Second, MaxPause: 16 * time.Second,
		})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		must(t, c.Run(ctx))
		if n := len(log.at); n < 700 || n > 1200 { // 600 of at most 2 s, and then 8 to 16 s each
			t.Fatalf("dialled %d times in an hour", n)
		}
		different := map[time.Duration]bool{}
		for i := range log.at[1:] {
			most := min(time.Second<<min(i, 10), 2*time.Second)
			if i >= 600 {
				most = min(2*time.Second<<min(i-600, 10), 16*time.Second)
			}
			pause := log.at[i+1].Sub(log.at[i])
			// a dial itself takes a moment, and the bubble's clock may run meanwhile
			if pause < most/2 || pause > most+time.Second {
				t.Fatalf("pause %d is %v, want %v to %v", i, pause, most/2, most)
			}
			different[pause] = true
		}
		if len(different) < len(log.at)/2 {
			t.Errorf("%d different pauses of %d: a fleet would come back in one instant", len(different), len(log.at))
		}
	})
}

// all is enabled at every level, which slog's own discarding handler is not.
type all struct{ *moments }

func (*all) Enabled(context.Context, slog.Level) bool { return true }

func TestAConnectionSpeaksMQTT311AndTakesNothingExactlyOnce(t *testing.T) {
	f := fakeBroker(t, 0)
	run(t, mqtt.Options{Brokers: []string{f.url()}, Filters: []string{"a/topic", "b/topic"}})
	c := next(t, "client", f.clients)
	if c.hello.ProtocolVersion != 4 || c.hello.ProtocolName != "MQTT" {
		t.Errorf(
			"version %d of %s, want 4 of MQTT: else every refused dial is made twice", c.hello.ProtocolVersion,
			c.hello.ProtocolName,
		)
	}
	s := c.allow(1)
	if len(s.Topics) != 2 || !bytes.Equal(s.Qoss, []byte{1, 1}) {
		t.Errorf("subscribed to %v at %v, want each at 1", s.Topics, s.Qoss)
	}
}

// Receive publishes. With paho's handlers that is how a client gets stuck: the acknowledgement that it waits for is
// behind the message that it handles.
func TestPublishInReceiveDoesNotWaitForAnAcknowledgement(t *testing.T) {
	const n = 1000 // more than any queue on the way holds
	f := fakeBroker(t, 0)
	up := make(chan bool, 10)
	var conn *mqtt.Conn
	ready := make(chan bool)
	answer := func(m mqtt.Message) {
		<-ready
		if err := conn.Publish(mqtt.Message{Topic: "answer", Payload: m.Payload}); err != nil {
			t.Error(err)
		}
	}
	conn, _, _ = run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(is bool) { up <- is }, Receive: answer})
	close(ready)
	c := next(t, "client", f.clients)
	c.allow(1)
	next(t, "up", up)
	go func() {
		for i := range n {
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.Qos, p.MessageID, p.TopicName, p.Payload = 1, uint16(i+1), "a/topic", fmt.Append(nil, i)
			if p.Write(c.conn) != nil {
				return
			}
		}
	}()
	answers, taken := 0, 0
	for answers < n || taken < n { // none of the answers is ever acknowledged
		switch p := c.next().(type) {
		case *packets.PublishPacket:
			if string(p.Payload) != fmt.Sprint(answers) {
				t.Fatalf("answer %s, want %d", p.Payload, answers)
			}
			answers++
		case *packets.PubackPacket:
			taken++
		default:
			t.Fatalf("the client sends %v", p)
		}
	}
}

// deaf opens a broker that takes a client and then reads no more, with a connection to it; the calls of Up come out
// of up.
func deaf(t *testing.T) (conn *mqtt.Conn, stop func(), up chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	up = make(chan bool, 10)
	conn, stop, _ = run(t, mqtt.Options{Brokers: []string{"mqtt://" + l.Addr().String()}, Up: func(is bool) { up <- is }})
	c, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = packets.ReadPacket(c)
	must(t, err)
	must(t, packets.NewControlPacket(packets.Connack).Write(c))
	p, err := packets.ReadPacket(c)
	must(t, err)
	a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	a.MessageID, a.ReturnCodes = p.(*packets.SubscribePacket).MessageID, []byte{1}
	must(t, a.Write(c))
	if !next(t, "up", up) {
		t.Fatal("down, want up")
	}
	return conn, stop, up
}

// fill publishes until that is refused.
func fill(conn *mqtt.Conn) error {
	for {
		if err := conn.Publish(mqtt.Message{Topic: "x", Payload: make([]byte, 64<<10)}); err != nil {
			return err
		}
	}
}

func TestABrokerThatStopsReadingIsGivenUp(t *testing.T) {
	t.Parallel()
	conn, _, up := deaf(t)
	began := time.Now()
	// A write is given up after 5 s; without that limit the client would wait for the keepalive, 60 s.
	if err := fill(conn); !errors.Is(err, home.ErrUnavailable) || time.Since(began) > 45*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if next(t, "down", up) {
		t.Fatal("up, want down")
	}
}

func TestABrokerThatStopsReadingDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	conn, stop, _ := deaf(t)
	filled := make(chan error)
	go func() { filled <- fill(conn) }()
	time.Sleep(200 * time.Millisecond) // for the socket to fill; the promise holds before, too
	began := time.Now()
	stop()
	if took := time.Since(began); took > 45*time.Second {
		t.Errorf("the end took %v", took)
	}
	if err := <-filled; !errors.Is(err, home.ErrUnavailable) {
		t.Error(err)
	}
}
