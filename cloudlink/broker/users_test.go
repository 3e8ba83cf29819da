package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// plain is a hasher that costs nothing.
type plain struct{}

func (plain) Hash(_ context.Context, password string) (string, error) {
	return "plain-" + password, nil
}

func (plain) Verify(_ context.Context, phc, password string) (ok, outdated bool, err error) {
	return phc == "plain-"+password, false, nil
}

const userPassword = "a password of 12"

// startHouse is start, with a house and the user "ha".
func startHouse(t *testing.T) (*house, *broker.UserFile) {
	t.Helper()
	users := broker.NewUserFile(filepath.Join(t.TempDir(), "users"), plain{})
	if err := users.Add(t.Context(), "ha", home.NewSecret(userPassword)); err != nil {
		t.Fatal(err)
	}
	h := start(t)
	h.stop()
	var err error
	h.b, err = broker.New(broker.Options{
		Directory: h.dir, Service: h.svc.Name, Log: slog.New(slog.DiscardHandler),
		House: &broker.House{
			Password: home.NewSecret("of the hub"), Roots: []string{"keys", "ha"}, Users: users,
			MayOrder: func(topic string) bool { return topic == "ha/status" || strings.HasSuffix(topic, "/rekey") },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.serve(t, listen(t))
	return h, users
}

func as(user, password, id string) options {
	return func(o *paho.ClientOptions) { o.SetUsername(user).SetPassword(password).SetClientID(id) }
}

// willed is the user with a will.
func willed(id, topic, payload string) options {
	return func(o *paho.ClientOptions) {
		as("ha", userPassword, id)(o)
		o.SetWill(topic, payload, 1, true)
	}
}

func TestAUserReadsAndOrdersTheHouseOnly(t *testing.T) {
	h, _ := startHouse(t)
	svc, in := h.dial(t, h.svc)
	subscribe(t, svc, "#")
	publisher, orders := h.dial(t, h.hub, as(broker.Publisher, "of the hub", "house-1"))
	subscribe(t, publisher, "keys/#")
	subscribe(t, publisher, "ha/status")
	user, got := h.dial(t, h.hub, as("ha", userPassword, "one"))
	for filter, want := range map[string]bool{
		"keys/#": true, "ha/+/+/config": true, "ha/status": true, "#": false, "+/x": false, "keys": false,
		"keysx/#":       false,
		wire.Root + "#": false, wire.NoticeTopic("ours"): false, wire.InboxTopic(h.hub.Name): false,
		wire.States("ours"): false,
		"$SYS/#":            false,
	} {
		if ok := subscribe(t, user, filter); ok != want {
			t.Errorf("subscription to %s: %v, want %v", filter, ok, want)
		}
	}
	publish(t, publisher, "keys/h/state", "state", true)
	if m := receive(t, got); string(m.Payload()) != "state" {
		t.Errorf("got %s", m.Payload())
	}
	for _, topic := range []string{
		"keys/h/state", "ha/device/x/config", wire.OutboxTopic("ha"), wire.OutboxTopic(h.hub.Name),
		wire.InboxTopic(h.hub.Name),
		wire.StatusTopic(h.hub.Name), wire.StateTopic("ours", "plug-1"), wire.NoticeTopic("ours"), "x",
	} {
		publish(t, user, topic, "forged", true)
	}
	publish(t, user, "keys/h/rekey", strings.Repeat("x", 300), false)
	publish(t, user, "keys/h/rekey", "PRESS", true)
	for {
		m := receive(t, orders)
		if string(m.Payload()) == "state" {
			continue
		}
		if m.Topic() != "keys/h/rekey" || string(m.Payload()) != "PRESS" {
			t.Errorf("passed: %s %s", m.Topic(), m.Payload())
		}
		break
	}
	publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
	for m := receive(t, in); string(m.Payload()) != "end"; m = receive(t, in) {
		if string(m.Payload()) == "forged" {
			t.Errorf("passed: %s", m.Topic())
		}
	}
	late, kept := h.dial(t, h.hub, as("ha", userPassword, "two"))
	subscribe(t, late, "keys/#")
	if m := receive(t, kept); string(m.Payload()) != "state" || !m.Retained() {
		t.Errorf("retained: %s %s", m.Topic(), m.Payload())
	}
	publish(t, publisher, "keys/end", "end", false)
	if m := receive(t, kept); string(m.Payload()) != "end" {
		t.Errorf("an order was retained: %s %s", m.Topic(), m.Payload())
	}
}

func TestAUserTakesOverNoSessionAndNoName(t *testing.T) {
	h, users := startHouse(t)
	hub, in := h.dial(t, h.hub)
	subscribe(t, hub, wire.InboxTopic(h.hub.Name))
	svc, _ := h.dial(t, h.svc)
	user, got := h.dial(t, h.hub, as("ha", userPassword, h.hub.Name)) // the hub's name as its client ID
	subscribe(t, user, "keys/#")
	publish(t, svc, wire.InboxTopic(h.hub.Name), "for the hub", false)
	if m := receive(t, in); string(m.Payload()) != "for the hub" {
		t.Errorf("the hub received %s", m.Payload())
	}
	if len(got) != 0 || !hub.IsConnected() {
		t.Error("the user has the hub's session")
	}
	for name, set := range map[string]options{
		"a wrong password":     as("ha", "another password", "a"),
		"an unknown user":      as("anna", userPassword, "a"),
		"the hub's own user":   as(broker.Publisher, userPassword, "a"),
		"a member without key": as(h.hub2.Name, userPassword, h.hub2.Name),
		"a will in the link": func(o *paho.ClientOptions) {
			as("ha", userPassword, "a")(o)
			o.SetWill(wire.NoticeTopic("ours"), "x", 1, true)
		},
		"a will in a state":     willed("a", "keys/h/state", "x"),
		"a service's password":  as(h.svc.Name, userPassword, h.svc.Name),
		"a name with a slash":   as("ha/x", userPassword, "a"),
		"no name at all":        as("", userPassword, "a"),
		"the publisher's empty": as(broker.Publisher, "", "a"),
	} {
		if c, _, err := h.try(h.hub, set); err == nil {
			t.Errorf("%s: connected", name)
			c.Disconnect(0)
		}
	}
	birth, _, err := h.try(h.hub, func(o *paho.ClientOptions) {
		as("ha", userPassword, "b")(o)
		o.SetWill("ha/status", "offline", 1, true)
	})
	if err != nil {
		t.Fatalf("Home Assistant's own will was refused: %v", err)
	}
	birth.Disconnect(100)
	if err := users.Remove("ha"); err != nil {
		t.Fatal(err)
	}
	publisher, _ := h.dial(t, h.hub, as(broker.Publisher, "of the hub", "p"))
	for end := time.Now().Add(time.Minute); subscribe(t, user, "keys/#"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a user that was removed may still subscribe")
		}
	}
	publish(t, publisher, "keys/x", "after", false)
	publish(t, svc, wire.InboxTopic(h.hub.Name), "end", false)
	receive(t, in)
	if len(got) != 0 {
		t.Errorf("a user that was removed received %s", (<-got).Payload())
	}
}

func TestTheFileOfUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	f := broker.NewUserFile(path, plain{})
	if names, err := f.Names(); err != nil || len(names) != 0 || f.Verify("ha", "") {
		t.Errorf("without a file: %v, %v", names, err)
	}
	for _, name := range []string{"zoe", "ha", "ha"} {
		if err := f.Add(t.Context(), name, home.NewSecret(userPassword)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"", broker.Publisher, "hub-1", "rk-1", "svc-1", "a:b", "Ä", "a\nb",
		strings.Repeat("x", 65),
	} {
		if err := f.Add(t.Context(), name, home.NewSecret(userPassword)); err == nil {
			t.Errorf("%q was added", name)
		}
	}
	if err := f.Add(t.Context(), "short", home.NewSecret("12345678901")); err == nil {
		t.Error("a short password was taken")
	}
	raw, err := os.ReadFile(path)
	st, serr := os.Stat(path)
	const want = "# rekeyd MQTT users, format 1\nha:plain-" + userPassword + "\nzoe:plain-" + userPassword + "\n"
	if err != nil || serr != nil || string(raw) != want || st.Mode().Perm() != 0o600 {
		t.Errorf("the file is %q, mode %v, %v", raw, st.Mode(), err)
	}
	again := broker.NewUserFile(path, plain{})
	if names, err := again.Names(); err != nil || !slices.Equal(names, []string{"ha", "zoe"}) || !again.Known("zoe") ||
		!again.Verify("ha", userPassword) || again.Verify("ha", "") || again.Verify("x", "") {
		t.Errorf("read again: %v, %v", names, err)
	}
	if err := errors.Join(again.Remove("ha")); err != nil {
		t.Error(err)
	}
	if err := again.Remove("ha"); !errors.Is(err, home.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := os.WriteFile(path, []byte("# rekeyd MQTT users, format 2\nha:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := broker.NewUserFile(path, plain{})
	if _, err := newer.Names(); home.HintOf(err) == "" || newer.Known("ha") ||
		newer.Add(t.Context(), "x", home.NewSecret(userPassword)) == nil {
		t.Errorf("another format: %v", err)
	}
}
