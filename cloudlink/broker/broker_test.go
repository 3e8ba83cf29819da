package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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

// dial connects as id; what comes is on the channel.
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
	o := paho.NewClientOptions().AddBroker(
		"tcp://" + h.addr,
	).SetClientID(
		id.Name,
	).SetUsername(
		id.Name,
	).SetPassword(
		id.Login().Reveal(),
	)
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

func TestAClientConnectsOnlyWithItsKey(t *testing.T) {
	h := start(t)
	h.dial(t, h.hub)
	h.dial(t, h.native)
	h.dial(t, h.stranger) // it enrols through its outbox
	for name, set := range map[string]options{
		"no password":         func(o *paho.ClientOptions) { o.SetPassword("") },
		"another's name":      func(o *paho.ClientOptions) { o.SetUsername(h.hub2.Name).SetClientID(h.hub2.Name) },
		"another's session":   func(o *paho.ClientOptions) { o.SetClientID(h.hub2.Name) },
		"another's will":      func(o *paho.ClientOptions) { o.SetWill(wire.StatusTopic(h.hub2.Name), "{}", 1, true) },
		"a will in a state":   func(o *paho.ClientOptions) { o.SetWill(wire.StateTopic("ours", "plug-2"), "{}", 1, true) },
		"an older version":    func(o *paho.ClientOptions) { o.SetProtocolVersion(3) },
		"a will for an inbox": func(o *paho.ClientOptions) { o.SetWill(wire.InboxTopic(h.hub2.Name), "{}", 1, false) },
	} {
		if c, _, err := h.try(h.hub, set); err == nil {
			t.Errorf("%s: connected", name)
			c.Disconnect(0)
		}
	}
	impostor := identity(t, wire.RoleService)
	if _, _, err := h.try(impostor); err == nil {
		t.Error("another account service connected")
	}
}

func TestEachRoleReadsOnlyItsTopics(t *testing.T) {
	h := start(t)
	svc, _ := h.dial(t, h.svc)
	for _, c := range []struct {
		who    *wire.Identity
		filter string // subscribed
		topic  string // then published by the service
		want   bool   // delivered
	}{
		{h.hub, wire.InboxTopic(h.hub.Name), wire.InboxTopic(h.hub.Name), true},
		{h.hub, wire.InboxTopic(h.hub2.Name), wire.InboxTopic(h.hub2.Name), false},
		{h.hub, wire.OutboxTopic(h.hub2.Name), wire.OutboxTopic(h.hub2.Name), false},
		{h.hub, wire.NoticeTopic("ours"), wire.NoticeTopic("ours"), true},
		{h.hub, wire.NoticeTopic("theirs"), wire.NoticeTopic("theirs"), false},
		{h.hub, wire.Root + "account/+/notice", wire.NoticeTopic("theirs"), false},
		{h.hub, wire.Root + "#", wire.NoticeTopic("ours"), false},
		{h.hub, "$share/g/" + wire.InboxTopic(h.hub2.Name), wire.InboxTopic(h.hub2.Name), false},
		{h.hub, wire.StateTopic("ours", "plug-2"), wire.StateTopic("ours", "plug-2"), true},
		{h.hub, wire.StateTopic("theirs", "plug-9"), wire.StateTopic("theirs", "plug-9"), false},
		{h.hub, wire.StateTopic("theirs", "plug-1"), wire.StateTopic("theirs", "plug-1"), false},
		{h.hub, wire.States("+"), wire.StateTopic("ours", "plug-1"), false},
		{h.hub, wire.States("ours"), wire.StateTopic("ours", "plug-2"), true},
		{h.hub, wire.States("ours"), wire.StateTopic("theirs", "plug-9"), false},
		{h.hub, wire.Root + "hub/+/status", wire.StatusTopic(h.hub2.Name), true},
		{h.hub, wire.Root + "hub/+/status", wire.StatusTopic(h.other.Name), false},
		{h.hub, wire.Root + "hub/+/inbox", wire.InboxTopic(h.hub2.Name), false},
		{h.native, wire.InboxTopic(h.native.Name), wire.InboxTopic(h.native.Name), true},
		{h.native, wire.NoticeTopic("ours"), wire.NoticeTopic("ours"), true},
		{h.native, wire.StateTopic("ours", "plug-1"), wire.StateTopic("ours", "plug-1"), false},
		{h.native, wire.States("ours"), wire.StateTopic("ours", "plug-1"), false},
		{h.stranger, wire.InboxTopic(h.stranger.Name), wire.InboxTopic(h.stranger.Name), true},
		{h.stranger, wire.NoticeTopic("ours"), wire.NoticeTopic("ours"), false},
		{h.stranger, wire.States("ours"), wire.StateTopic("ours", "plug-1"), false},
		{h.hub, "$SYS/#", wire.NoticeTopic("ours"), false},
	} {
		client, in, err := h.try(c.who)
		if err != nil {
			t.Fatal(err)
		}
		subscribe(t, client, c.filter)
		publish(t, svc, c.topic, "message", false)
		// What comes next is the member's own inbox: nothing can be in between.
		subscribe(t, client, wire.InboxTopic(c.who.Name))
		publish(t, svc, wire.InboxTopic(c.who.Name), "end", false)
		var got bool
		for m := receive(t, in); string(m.Payload()) != "end"; m = receive(t, in) {
			got = true
		}
		if got != c.want {
			t.Errorf("%s subscribed to %s receives %s: %v, want %v", c.who.Name[:5], c.filter, c.topic, got, c.want)
		}
		client.Disconnect(100)
	}
}

func TestEachRolePublishesOnlyToItsTopics(t *testing.T) {
	h := start(t)
	svc, in := h.dial(t, h.svc)
	if !subscribe(t, svc, "rekeyd/#") {
		t.Fatal("the service may not read everything")
	}
	for _, c := range []struct {
		who      *wire.Identity
		topic    string
		retained bool
		want     bool
	}{
		{h.hub, wire.OutboxTopic(h.hub.Name), false, true},
		{h.hub, wire.OutboxTopic(h.hub.Name), true, false},
		{h.hub, wire.OutboxTopic(h.hub2.Name), false, false},
		{h.hub, wire.InboxTopic(h.hub.Name), false, false},
		{h.hub, wire.NoticeTopic("ours"), true, false},
		{h.hub, wire.StatusTopic(h.hub.Name), true, true},
		{h.hub, wire.StatusTopic(h.hub2.Name), true, false},
		{h.hub, wire.StateTopic("ours", "plug-1"), true, true},
		{h.hub, wire.StateTopic("theirs", "plug-1"), true, false}, // its own device, in the name of another account
		{h.hub, wire.StateTopic("ours", "plug-2"), true, false},
		{h.hub, wire.StateTopic("theirs", "plug-9"), true, false},
		{h.hub, wire.StateTopic("ours", "unbound"), true, false},
		{h.hub, "rekeyd/v1/x", false, false},
		{h.native, wire.OutboxTopic(h.native.Name), false, true},
		{h.native, wire.StateTopic("ours", h.native.Name), true, false},
		{h.native, wire.StatusTopic(h.native.Name), true, false},
		{h.stranger, wire.OutboxTopic(h.stranger.Name), false, true},
		{h.stranger, wire.StateTopic("ours", "plug-1"), true, false},
		{h.svc, wire.NoticeTopic("theirs"), true, true},
		{h.svc, wire.InboxTopic(h.hub.Name), false, true},
	} {
		client := svc
		if c.who != h.svc {
			var err error
			if client, _, err = h.try(c.who); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, client, c.topic, "message", c.retained)             // acknowledged, whether or not it was taken
		publish(t, client, wire.OutboxTopic(c.who.Name), "end", false) // in the publisher's own order
		var got bool
		for m := receive(t, in); string(m.Payload()) != "end"; m = receive(t, in) {
			got = true
		}
		if got != c.want {
			t.Errorf("%s published to %s: %v, want %v", c.who.Name[:5], c.topic, got, c.want)
		}
		if client != svc {
			client.Disconnect(100)
		}
	}
}

func TestNoticesAreRetainedAndMessagesOfStrangersAreNot(t *testing.T) {
	h := start(t)
	svc, in := h.dial(t, h.svc)
	publish(t, svc, wire.NoticeTopic("ours"), "notice", true)
	hub, hin := h.dial(t, h.hub)
	subscribe(t, hub, wire.NoticeTopic("ours"))
	if m := receive(t, hin); string(m.Payload()) != "notice" || !m.Retained() {
		t.Fatalf("got %q, retained %v", m.Payload(), m.Retained())
	}
	stranger, _ := h.dial(t, h.stranger)
	publish(t, stranger, wire.StatusTopic(h.stranger.Name), "here", true)
	publish(t, hub, wire.StatusTopic(h.hub.Name), "here too", true)
	publish(t, hub, wire.StatusTopic(h.hub.Name), strings.Repeat("x", 20_000), true) // too large to keep
	subscribe(t, svc, wire.Root+"hub/+/status")
	publish(t, svc, wire.StatusTopic("end"), "end", false)
	var kept []string
	for m := receive(t, in); string(m.Payload()) != "end"; m = receive(t, in) {
		if m.Retained() { // the others have just come
			kept = append(kept, string(m.Payload()))
		}
	}
	if len(kept) != 1 || kept[0] != "here too" {
		t.Fatalf("kept %.50q, want only what the hub said", kept)
	}
}

func TestAWillIsPublishedWhenTheConnectionIsCut(t *testing.T) {
	h := start(t)
	svc, in := h.dial(t, h.svc)
	subscribe(t, svc, wire.Root+"hub/+/status")
	var wires []net.Conn
	hub, _, err := h.try(h.hub, func(o *paho.ClientOptions) {
		o.SetWill(wire.StatusTopic(h.hub.Name), "gone", 1, true)
		o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			c, err := net.Dial("tcp", h.addr)
			wires = append(wires, c)
			return c, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Disconnect(0)
	for _, c := range wires {
		c.Close()
	}
	if m := receive(t, in); string(m.Payload()) != "gone" {
		t.Fatalf("got %q", m.Payload())
	}
}

func TestARemovedMemberReceivesOnlyItsInbox(t *testing.T) {
	h := start(t)
	svc, _ := h.dial(t, h.svc)
	hub, in := h.dial(t, h.hub)
	subscribe(t, hub, wire.NoticeTopic("ours"))
	subscribe(t, hub, wire.InboxTopic(h.hub.Name))
	h.dir.remove(h.hub.Name)
	publish(t, svc, wire.NoticeTopic("ours"), "notice", true)
	publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
	if m := receive(t, in); string(m.Payload()) != "end" {
		t.Fatalf("got %q", m.Payload())
	}
	if !subscribe(t, hub, wire.NoticeTopic("ours")) {
		t.Fatal("its connection would end, and it would never hear that it was removed")
	}
	publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
	if m := receive(t, in); string(m.Payload()) != "end" {
		t.Fatalf("got %q", m.Payload())
	}
}

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
