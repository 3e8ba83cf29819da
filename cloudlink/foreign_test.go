package cloudlink_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAHubOfOneAccountDoesNotAskToEnrolInAnother(t *testing.T) {
	s := play(t, nil)
	p := pairing.Pairing{
		Name: "pairing", Secret: home.NewSecret(strings.Repeat("s", 26)), Account: "account2", Service: s.svc.Keys,
		Brokers: wire.Brokers(s.h.brokers()),
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	err := s.link.Enrol(ctx, p, "bob@example.org", home.NewSecret("pw"))
	var advice *home.Error
	if !errors.Is(err, home.ErrForeign) || !errors.As(err, &advice) || advice.Hint == "" {
		t.Fatalf("%v", err)
	}
	// A bind that is queued now is the next request: no enrolment went out before it.
	must(t, s.store.Bind(house1, []home.Device{{ID: "mac-50c7bf010203", Kind: home.Plug, Protocol: home.IOT}}))
	s.link.Wake()
	select {
	case m := <-s.sent:
		if m.Type != "bind" {
			t.Fatalf("the hub sent %s", m.Type)
		}
	case <-time.After(time.Minute):
		t.Fatal("the hub sent nothing")
	}
}

func TestAForeignRefusalIsALinkThatIsDown(t *testing.T) {
	s := play(t, nil)
	s.mu.Lock()
	s.mute = func(m *wire.Message) bool {
		if m.Type != "hello" {
			return false
		}
		no := &wire.Refusal{Code: wire.CodeForeign, Detail: "another account"}
		_ = s.conn.Publish(mqtt.Message{
			Topic: wire.InboxTopic(m.From), Payload: s.sign(&wire.Message{Re: m.ID, To: m.From, Body: no}),
		})
		return true
	}
	s.mu.Unlock()
	s.link.Rejoin()
	eventually(t, time.Minute, "a link that is down, with a hint", func() bool {
		up, reason := s.link.State()
		return !up && strings.Contains(reason, "another account") && strings.Contains(reason, "rekeyd login")
	})
}
