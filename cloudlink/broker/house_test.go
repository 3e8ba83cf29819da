package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// directory is a house as the service knows it. It is not changed while clients are connected, except through its
// methods.
type directory struct {
	mu       sync.Mutex // guards both
	accounts map[string]string
	holders  map[string]string
}

func (d *directory) AccountOf(m string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.accounts[m]
	return a, ok
}

func (d *directory) Holds(hub, id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holders[id] == hub
}

func (d *directory) remove(member string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.accounts, member)
}

func identity(t *testing.T, r wire.Role) *wire.Identity {
	t.Helper()
	id, err := wire.NewIdentity(r, wire.NewSeed(), wire.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// house is a broker with a service, two hubs and a native device in one account, a hub in another, and one that belongs
// to none.
type house struct {
	addr                                    string
	dir                                     *directory
	b                                       *broker.Broker
	svc, hub, hub2, native, other, stranger *wire.Identity
	stop                                    func() // ends Serve, and waits for it
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t *testing.T) *house {
	t.Helper()
	return startOn(t, listen(t))
}

func startOn(t *testing.T, l net.Listener) *house {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	h := &house{
		svc: identity(t, wire.RoleService), hub: identity(t, wire.RoleHub), hub2: identity(t, wire.RoleHub),
		native: identity(t, wire.RoleDevice), other: identity(t, wire.RoleHub), stranger: identity(t, wire.RoleHub),
	}
	h.dir = &directory{
		accounts: map[string]string{h.hub.Name: "ours", h.hub2.Name: "ours", h.native.Name: "ours", h.other.Name: "theirs"},
		holders:  map[string]string{"plug-1": h.hub.Name, "plug-2": h.hub2.Name, "plug-9": h.other.Name},
	}
	var err error
	h.b, err = broker.New(broker.Options{Directory: h.dir, Service: h.svc.Name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.stop()
		goleak.VerifyNone(t, ignore)
	})
	h.serve(t, l)
	return h
}

// serve has the broker serve on l from now on.
func (h *house) serve(t *testing.T, l net.Listener) {
	h.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.b.Serve(ctx, l) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type options func(*paho.ClientOptions)

// dial connects as id; the channel has the messages that it receives.
func (h *house) dial(t *testing.T, id *wire.Identity, set ...options) (paho.Client, <-chan paho.Message) {
	t.Helper()
	c, in, err := h.try(id, set...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, in
}

func (h *house) try(id *wire.Identity, set ...options) (paho.Client, <-chan paho.Message, error) {
	in := make(chan paho.Message, 64)
	o := paho.NewClientOptions().AddBroker("tcp://" + h.addr).SetClientID(id.Name)
	o.SetUsername(id.Name).SetPassword(id.Login().Reveal())
	o.SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { in <- m })
	for _, f := range set {
		f(o)
	}
	c := paho.NewClient(o)
	tok := c.Connect()
	if !tok.WaitTimeout(time.Minute) {
		return c, in, errors.New("no answer")
	}
	return c, in, tok.Error()
}

func subscribe(t *testing.T, c paho.Client, filter string) bool {
	t.Helper()
	tok := c.Subscribe(filter, 1, nil)
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		return false
	}
	return tok.(*paho.SubscribeToken).Result()[filter] < 3
}

func publish(t *testing.T, c paho.Client, topic, payload string, retained bool) {
	t.Helper()
	tok := c.Publish(topic, 1, retained, payload)
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatalf("publish to %s: %v", topic, tok.Error())
	}
}

func receive(t *testing.T, in <-chan paho.Message) paho.Message {
	t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		return nil
	}
}
