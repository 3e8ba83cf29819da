package mqtt_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestBrokersAreTriedInTurn(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	refusing, good := fakeBroker(t, packets.ErrRefusedNotAuthorised), fakeBroker(t, 0)
	run(t, mqtt.Options{Brokers: []string{"mqtt://" + closed.Addr().String(), refusing.url(), good.url()}})
	c := next(t, "client", good.clients)
	c.allow(1)
	next(t, "client", refusing.clients)
	must(t, c.conn.Close())
	next(t, "client again", good.clients).allow(1) // one refusal does not end the dialling
}

func TestRedialMakesAnotherConnection(t *testing.T) {
	f := fakeBroker(t, 0)
	up := make(chan bool, 10)
	conn, _, _ := run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(is bool) { up <- is }})
	conn.Redial() // before there is one: means nothing to the next
	for range 2 {
		next(t, "client", f.clients).allow(1)
		if !next(t, "up", up) {
			t.Fatal("down, want up")
		}
		conn.Redial()
		if next(t, "down", up) {
			t.Fatal("up, want down")
		}
	}
}

// record is a log as text.
type record struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) contains(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.b.String(), s)
}

func TestARefusedCredentialEndsTheDialling(t *testing.T) {
	for _, code := range []byte{packets.ErrRefusedBadUsernameOrPassword, packets.ErrRefusedNotAuthorised} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			f := fakeBroker(t, code)
			var log record
			_, _, done := run(t, mqtt.Options{
				Brokers: []string{strings.Replace(f.url(), "//", "//anna:hunter22@", 1)},
				Log:     slog.New(slog.NewTextHandler(&log, nil)),
			})
			err := next(t, "end", done)
			if he, ok := errors.AsType[*home.Error](err); !errors.Is(err, home.ErrCredential) || !ok || he.Hint == "" {
				t.Fatalf("ended with %v, want home.ErrCredential and a hint", err)
			}
			c := next(t, "client", f.clients)
			if c.hello.Username != "anna" || string(c.hello.Password) != "hunter22" {
				t.Error("the URL's user was not used")
			}
			if n := len(f.clients); n != 0 {
				t.Errorf("dialled %d times more", n)
			}
			if all := log.b.String() + err.Error(); strings.Contains(all, "hunter22") || strings.Contains(all, "anna") {
				t.Errorf("a credential was logged: %s", all)
			}
		})
	}
}

func TestOtherRefusalsDoNotEndTheDialling(t *testing.T) {
	f := fakeBroker(t, packets.ErrRefusedServerUnavailable)
	run(t, mqtt.Options{Brokers: []string{f.url()}})
	for range 3 {
		next(t, "client", f.clients)
	}
}

func TestPublishWithoutAConnectionIsUnavailable(t *testing.T) {
	f := fakeBroker(t, 0)
	up := make(chan bool, 10)
	conn, stop, _ := run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(is bool) { up <- is }})
	refused := func(when string) {
		t.Helper()
		if err := conn.Publish(mqtt.Message{Topic: "x"}); !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%s: %v, want home.ErrUnavailable", when, err)
		}
	}
	refused("before it is up")
	c := next(t, "client", f.clients)
	refused("before it is subscribed")
	c.allow(1)
	next(t, "up", up)
	must(t, conn.Publish(mqtt.Message{Topic: "x", Payload: []byte("1"), Retained: true}))
	p, ok := c.next().(*packets.PublishPacket)
	if !ok || p.TopicName != "x" || p.Qos != 1 || !p.Retain || string(p.Payload) != "1" {
		t.Fatalf("published %v", p)
	}
	stop()
	refused("after its end")
}

func TestPublishNeverBlocksOnceTheConnectionHasEnded(t *testing.T) {
	f := fakeBroker(t, 0)
	up := make(chan bool, 10)
	conn, _, _ := run(t, mqtt.Options{Brokers: []string{f.url()}, Up: func(is bool) { up <- is }})
	c := next(t, "client", f.clients)
	c.allow(1)
	next(t, "up", up)
	began, end := make(chan bool), make(chan error)
	for range 20 {
		go func() {
			began <- true
			for {
				if err := conn.Publish(mqtt.Message{Topic: "x", Payload: make([]byte, 100)}); err != nil {
					end <- err
					return
				}
			}
		}()
	}
	for range 20 {
		<-began
	}
	for range 100 {
		c.next()
	}
	must(t, c.conn.Close())
	for range 20 {
		if err := next(t, "error", end); !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%v, want home.ErrUnavailable", err)
		}
	}
}

func TestBirthAndWill(t *testing.T) {
	f := fakeBroker(t, 0)
	n := 0
	run(t, mqtt.Options{
		Brokers: []string{f.url()},
		Will: func() *mqtt.Message {
			n++
			return &mqtt.Message{Topic: "s", Payload: fmt.Append(nil, "off ", n), Retained: true}
		},
		Birth: func() []mqtt.Message {
			return []mqtt.Message{{Topic: "s", Payload: fmt.Append(nil, "on ", n), Retained: true}, {Topic: "d"}}
		},
	})
	for i := 1; i <= 2; i++ {
		c := next(t, "client", f.clients)
		if h := c.hello; !h.WillFlag || h.WillTopic != "s" || string(h.WillMessage) != fmt.Sprint("off ", i) ||
			!h.WillRetain || h.WillQos != 1 {
			t.Errorf("will %q %q", h.WillTopic, h.WillMessage)
		}
		if c.hello.CleanSession || c.hello.ClientIdentifier != "me" {
			t.Error("the session is not kept")
		}
		c.allow(1)
		for _, want := range []string{"s", "d"} {
			p, ok := c.next().(*packets.PublishPacket)
			if !ok || p.TopicName != want || want == "s" && string(p.Payload) != fmt.Sprint("on ", i) {
				t.Fatalf("born with %v, want a message on %s", p, want)
			}
		}
		must(t, c.conn.Close())
	}
}

func TestNewChecksAllOptions(t *testing.T) {
	_, err := mqtt.New(mqtt.Options{Brokers: []string{"http://anna:hunter22@x", "mqtt://ok"}})
	if err == nil || !strings.Contains(err.Error(), "broker") || !strings.Contains(err.Error(), "client id") ||
		strings.Contains(err.Error(), "hunter22") {
		t.Errorf("%v", err)
	}
	for in, want := range map[string]string{
		"mqtt://h": "h:1883", "mqtts://h": "h:8883", "ssl://h:1": "h:1", "wss://h/mqtt": "h", "mqtt://[::1]": "[::1]:1883",
	} {
		if u, err := mqtt.ParseBroker(in); err != nil || u.Host != want {
			t.Errorf("%s: %v, %v, want %s", in, u, err, want)
		}
	}
	for _, in := range []string{
		"", "h:1883", "mqtt://", "ftp://h", "mqtt://anna:hunter22@h:port", "mqtt://%zz:hunter22@h",
	} {
		if _, err := mqtt.ParseBroker(in); err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestRunEndsWhileABrokerIsSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, stop, done := run(t, mqtt.Options{Brokers: []string{"mqtt://" + l.Addr().String()}})
	silent, err := l.Accept()
	must(t, err)
	defer silent.Close()
	began := time.Now()
	stop()
	if err := <-done; err != nil || time.Since(began) > 20*time.Second {
		t.Errorf("ended with %v after %v", err, time.Since(began))
	}
}
