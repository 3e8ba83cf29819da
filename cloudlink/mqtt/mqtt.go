// Package mqtt keeps one MQTT 3.1.1 connection to one of several brokers, over paho with its traps worked around in
// this one place: every connection is a client of its own (with paho's own reconnect a message counts as delivered when
// its acknowledgement was lost), nothing is remembered in paho (what must not be lost waits in the caller's outbox
// until the other end has answered), messages are acknowledged only after the caller has taken them, and a refused
// credential ends the dialling.
package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/pin"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Message is one publication. All go at QoS 1.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// Options are what New checks.
type Options struct {
	// URLs, tried in turn: mqtt://, mqtts://, ws:// or wss://; may hold user:password@ and a fingerprint (package pin)
	Brokers  []string
	ClientID string // also the name of the session that the broker keeps
	Username string // with Password, for brokers whose URL names no user
	Password home.Secret
	Roots    *x509.CertPool   // authorities of brokers' certificates; nil for the system's
	Filters  []string         // subscribed after every connect
	Receive  func(Message)    // called in order from one goroutine; the message is acknowledged when it returns
	Birth    func() []Message // published after every connect; may be nil
	Will     func() *Message  // asked before every connect; may be nil
	Up       func(bool)       // called when the connection comes and goes; may be nil
	Down     func()           // called when Err has changed: dialling failed, or the connection was lost; may be nil
	Log      *slog.Logger

	Dial func(addr string) (net.Conn, error) // used instead of TCP and TLS, where given

	// Between rounds of dialling; 500 ms and 1 min when zero. No pause is longer than 2 s in the first quarter of an hour.
	MinPause, MaxPause time.Duration
}

// Conn is a connection that comes back by itself.
type Conn struct {
	o       Options
	brokers []*url.URL

	hurry   chan struct{}  // ends the pause before the next round of dialling
	worked  atomic.Bool    // the other end has answered since the last pause
	writers sync.WaitGroup // of sessions; a session may end before its writer does

	mu   sync.Mutex // guards live and err
	live *live      // nil while there is no connection
	err  error      // why there is none
}

// live is a connection that is up.
type live struct {
	out   chan Message
	again chan struct{} // asks the session to end
	done  chan struct{} // closed when the session ends
}

// redial asks the session to end.
func (l *live) redial() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// queue is how many messages may wait for Receive. Past it nothing more is read from the broker: one that was dropped
// without an acknowledgement would keep its place in the broker's window for as long as the connection lasts.
const queue = 256

// New checks o, all of it. It does not connect: Run does.
func New(o Options) (*Conn, error) {
	c := &Conn{o: o, hurry: make(chan struct{}, 1)}
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no broker"))
	}
	for _, b := range o.Brokers {
		u, err := ParseBroker(b)
		errs = append(errs, err)
		c.brokers = append(c.brokers, u)
	}
	if o.ClientID == "" || o.Receive == nil || o.Log == nil {
		errs = append(errs, errors.New("client id, receive and log are needed"))
	}
	if c.o.MinPause == 0 {
		c.o.MinPause = 500 * time.Millisecond
	}
	if c.o.MaxPause == 0 {
		c.o.MaxPause = time.Minute
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return c, nil
}

// ParseBroker checks a broker's URL. Its errors do not repeat the URL, which may hold a password.
func ParseBroker(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	schemes := []string{"mqtt", "tcp", "mqtts", "ssl", "tls", "ws", "wss"}
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return nil, errors.New("broker: want a URL like mqtt://host:1883 or mqtts://user:password@host:8883")
	}
	if u.Port() == "" {
		switch u.Scheme {
		case "mqtt", "tcp":
			u.Host += ":1883"
		case "mqtts", "ssl", "tls":
			u.Host += ":8883"
		}
	}
	if _, err := pin.Of(u); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return u, nil
}

// Err returns why there is no connection: the error of the last one, or of the last try. It is nil while there is one,
// and before the first try.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Redial ends the connection, for one that is up and gets no answers: another is made, to the next broker where there
// are several. It never blocks.
func (c *Conn) Redial() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live != nil {
		c.live.redial()
	}
}

// Publish hands m to the connection. It waits while the socket takes no more, as long as the connection lasts, but not
// for the broker's acknowledgement, which is no evidence of the other end: only that end's answer is.
// It returns home.ErrUnavailable while there is no connection.
func (c *Conn) Publish(m Message) error {
	c.mu.Lock()
	l := c.live
	c.mu.Unlock()
	if l == nil {
		return fmt.Errorf("publish: no broker: %w", home.ErrUnavailable)
	}
	select {
	case l.out <- m:
		return nil
	case <-l.done:
		return fmt.Errorf("publish: the connection has ended: %w", home.ErrUnavailable)
	}
}

// write hands messages to paho until the session ends. It has a goroutine of its own because paho's Publish blocks for
// the whole write timeout when the connection ends under it.
func (c *Conn) write(client paho.Client, l *live) {
	for {
		select {
		case <-l.done:
			return
		case m := <-l.out:
			tok := client.Publish(m.Topic, 1, m.Retained, m.Payload)
			select {
			case <-tok.Done():
				if err := tok.Error(); err != nil {
					c.o.Log.Warn("message not sent", "topic", m.Topic, "err", err)
					l.redial() // only this session: the next may have begun while paho waited
				}
			default:
			}
		}
	}
}

// Run connects, subscribes, and passes messages to Receive, until ctx ends; it connects again after a lost connection,
// more slowly each time until the other end has answered, and tries the brokers in turn. It ends early with
// home.ErrCredential once every broker refused the credential.
func (c *Conn) Run(ctx context.Context) error {
	defer c.writers.Wait()
	for rounds := 0; ; rounds++ {
		refused, began := 0, time.Now()
		for _, b := range c.brokers {
			err := c.session(ctx, b, connectTimeout(rounds))
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, home.ErrCredential) {
				refused++
			}
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			c.o.Log.Warn("broker connection ended", "broker", b.Host, "err", err)
			if c.o.Down != nil {
				c.o.Down()
			}
		}
		if refused == len(c.brokers) {
			return &home.Error{
				Op: "connect to the broker", Err: errRefused,
				Hint: "check user and password in the broker's URL",
			}
		}
		if c.worked.Swap(false) {
			rounds = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.hurry:
		case <-time.After(c.pause(rounds, time.Since(began))):
		}
	}
}

// keepAlive is the time without a packet after which a ping is sent. It bounds how long a connection is trusted over
// which nothing passes any more: to this time, 10 s for the answer, and 10 s by which paho looks late.
const keepAlive = 15 * time.Second

// session is one connection to one broker, from dialling to its end.
func (c *Conn) session(ctx context.Context, broker *url.URL, timeout time.Duration) error {
	lost := make(chan error, 1)
	type arrival struct {
		m   Message
		ack func()
	}
	arrived := make(chan arrival, queue)
	l := &live{out: make(chan Message, queue), again: make(chan struct{}, 1), done: make(chan struct{})}

	o := paho.NewClientOptions()
	if c.o.Roots != nil {
		o.SetTLSConfig(&tls.Config{RootCAs: c.o.Roots, MinVersion: tls.VersionTLS12})
	}
	if sum, _ := pin.Of(broker); sum != nil { // New has checked it
		o.SetTLSConfig(pin.Config(sum))
		plain := *broker
		plain.Fragment = ""
		broker = &plain
	}
	o.Servers = []*url.URL{broker}
	o.SetClientID(c.o.ClientID).SetProtocolVersion(4).SetCleanSession(false)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetStore(paho.NewMemoryStore())
	o.SetConnectTimeout(timeout).SetWriteTimeout(5 * time.Second).SetKeepAlive(keepAlive)
	// In order, because one conversation's messages build on one another. The handler waits only for Receive, which
	// never waits for an acknowledgement: so nothing gets stuck.
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	o.SetUsername(c.o.Username).SetPassword(c.o.Password.Reveal())
	if u := broker.User; u != nil {
		pw, _ := u.Password()
		o.SetUsername(u.Username()).SetPassword(pw)
	}
	if c.o.Will != nil {
		if w := c.o.Will(); w != nil {
			o.SetBinaryWill(w.Topic, w.Payload, 1, w.Retained)
		}
	}
	if c.o.Dial != nil {
		o.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) { return c.o.Dial(u.Host) })
	}
	o.SetConnectionLostHandler(func(_ paho.Client, err error) {
		select {
		case lost <- err:
		default:
		}
	})
	// The default handler takes everything, also what a kept session delivers before the subscription is made anew.
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case arrived <- arrival{Message{m.Topic(), m.Payload(), m.Retained()}, m.Ack}:
		case <-l.done:
		}
	})
	client := paho.NewClient(o)
	// What a kept session delivers comes before the subscription is answered: so it is taken from the beginning.
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			select {
			case <-l.done:
				return
			case a := <-arrived:
				c.o.Receive(a.m)
				a.ack()
			}
		}
	})
	defer func() {
		close(l.done)
		receiving.Wait() // its acknowledgement goes over this connection
		client.Disconnect(100)
	}()
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := c.subscribe(ctx, client); err != nil {
		return err
	}
	c.set(l)
	defer c.set(nil)
	c.writers.Go(func() { c.write(client, l) })
	if c.o.Birth != nil {
		for _, m := range c.o.Birth() {
			if err := c.Publish(m); err != nil {
				return err
			}
		}
	}
	if c.o.Up != nil {
		c.o.Up(true)
		defer c.o.Up(false)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-l.again:
		return fmt.Errorf("given up: %w", home.ErrUnavailable)
	case err := <-lost:
		return fmt.Errorf("%w: %w: %w", ErrLost, home.ErrUnavailable, err)
	}
}

// subscribeTries is how often a subscription is asked for. Each time it has another packet identifier: there are
// brokers (mochi is one) that refuse an identifier with which they themselves still wait for an acknowledgement of
// something that a kept session delivers.
const subscribeTries = 8

func (c *Conn) subscribe(ctx context.Context, client paho.Client) error {
	if len(c.o.Filters) == 0 {
		return nil
	}
	filters := make(map[string]byte, len(c.o.Filters))
	for _, f := range c.o.Filters {
		filters[f] = 1
	}
	for try := 1; ; try++ {
		tok := client.SubscribeMultiple(filters, nil)
		if err := wait(ctx, tok); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		refused := ""
		for f, code := range tok.(*paho.SubscribeToken).Result() {
			if code > 2 {
				refused = f
			}
		}
		switch {
		case refused == "":
			return nil
		case try == subscribeTries:
			return fmt.Errorf("subscribe to %s: refused by the broker: %w", refused, home.ErrUnavailable)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * 5 * time.Millisecond):
		}
	}
}

func (c *Conn) set(l *live) {
	c.mu.Lock()
	c.live = l
	if l != nil {
		c.err = nil
	}
	c.mu.Unlock()
}
