package broker_test

import (
	"net"
	"net/url"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

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
		t.Fatalf("kept %.50q, want only the hub's message", kept)
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
		t.Fatal("its connection would end before it learns that it was removed")
	}
	publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
	if m := receive(t, in); string(m.Payload()) != "end" {
		t.Fatalf("got %q", m.Payload())
	}
}
