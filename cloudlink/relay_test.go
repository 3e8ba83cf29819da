package cloudlink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// relay returns a request to a device, as an honest service makes it.
func (s *stage) relay(device, plain string) *wire.Message {
	s.h.t.Helper()
	id := wire.NewID()
	sealed, err := s.sealKey().SealTo(wire.RelayInfo(house1, s.svc.Name, s.id.Name, device, id), []byte(plain))
	must(s.h.t, err)
	return &wire.Message{
		ID: id, To: s.id.Name,
		Body: &wire.Relay{Account: house1, Device: device, Boot: 1, Until: s.clock() + 10_000, Sealed: sealed},
	}
}

// clock is about the hub's: its start is the test's.
func (s *stage) clock() int64 { return time.Since(s.began0).Milliseconds() }

// relayed waits for the hub's answer, and opens it.
func (s *stage) relayed() (re, code, plain string) {
	s.h.t.Helper()
	m, b := next[*wire.Relayed](s)
	if b.Code == "" {
		raw, err := s.svc.Open(wire.RelayInfo(house1, s.id.Name, s.svc.Name, b.Device, m.Re), b.Sealed)
		must(s.h.t, err)
		plain = string(raw)
	}
	return m.Re, b.Code, plain
}

func TestARequestIsCarriedOutOnceAndNotTooLate(t *testing.T) {
	t.Parallel()
	var toggled atomic.Int32
	slow := make(chan struct{})
	s := play(t, func(o *cloudlink.Options) {
		o.Relay = func(ctx context.Context, d home.DeviceID, request []byte) ([]byte, error) {
			switch d {
			case "slow":
				select {
				case <-slow:
				case <-ctx.Done():
					return nil, home.ErrUnreachable
				}
			case "off":
				return nil, fmt.Errorf("with detail: %w", home.ErrUnreachable)
			case "gone":
				return nil, home.ErrNotFound
			case "theirs":
				return nil, home.ErrForeign
			case "busy":
				return nil, home.ErrBusy
			case "mute":
				return nil, errors.ErrUnsupported
			case "huge":
				return make([]byte, wire.MaxRelay+1), nil
			}
			toggled.Add(1)
			return append([]byte("did "), request...), nil
		}
	})
	m := s.relay("lamp", "toggle")
	for i := range 5 { // a broker may bring it as often as it likes
		s.send(m)
		if re, code, plain := s.relayed(); re != m.ID || code != "" || plain != "did toggle" {
			t.Fatalf("time %d: %q %q %q", i, re, code, plain)
		}
	}
	if n := toggled.Load(); n != 1 {
		t.Errorf("carried out %d times", n)
	}
	again := s.relay("slow", "toggle")
	for range 3 { // while it is being carried out
		s.send(again)
	}
	eventually(t, time.Minute, "counted", func() bool { return s.dropped()["replayed"] >= 4+2 })
	close(slow)
	if _, code, _ := s.relayed(); code != "" || toggled.Load() != 2 {
		t.Errorf("%q, carried out %d times", code, toggled.Load()-1)
	}
	for code, change := range map[string]func(*wire.Relay){
		wire.CodeExpired:   func(b *wire.Relay) { b.Until = s.clock() - 1000 },
		wire.CodeRestarted: func(b *wire.Relay) { b.Boot++ },
	} {
		m := s.relay("lamp", "toggle")
		change(m.Body.(*wire.Relay))
		s.send(m)
		if _, got, _ := s.relayed(); got != code || toggled.Load() != 2 {
			t.Errorf("%q, want %q; carried out %d times", got, code, toggled.Load())
		}
	}
	// The hub's time of day is 30 s ahead of the service's: a request expires by the hub's own clock, so nothing changes.
	ahead := s.relay("lamp", "toggle")
	ahead.At = time.Now().Add(-30 * time.Second).UnixMilli()
	raw, err := s.svc.Sign(ahead)
	must(t, err)
	s.put(raw)
	if _, code, _ := s.relayed(); code != "" || toggled.Load() != 3 {
		t.Errorf("%q, carried out %d times", code, toggled.Load())
	}
	for device, want := range map[string]string{
		"off": wire.CodeOffline, "gone": wire.CodeUnknown, "theirs": wire.CodeForeign, "busy": wire.CodeBusy,
		"mute": wire.CodeNotSpoken, "huge": wire.CodeBusy,
	} {
		s.send(s.relay(device, "x"))
		if _, code, _ := s.relayed(); code != want {
			t.Errorf("%s: %q, want %q", device, code, want)
		}
	}
}

func TestAForgedOrLateRequestReachesNoDevice(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	s := play(t, func(o *cloudlink.Options) {
		o.Relay = func(context.Context, home.DeviceID, []byte) ([]byte, error) {
			reached.Add(1)
			return nil, nil
		}
	})
	stranger, err := wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	body := func(m *wire.Message) *wire.Relay { return m.Body.(*wire.Relay) }
	for _, c := range []struct {
		name, reason string
		send         func()
	}{
		{"one signed by another", "forged", func() {
			raw, err := stranger.Sign(s.relay("lamp", "x"))
			must(t, err)
			s.put(raw)
		}},
		{
			"one for another device than it was sealed for", "forged",
			func() { m := s.relay("lamp", "x"); body(m).Device = "door"; s.send(m) },
		},
		{
			"one whose seal was in another message", "forged",
			func() { m := s.relay("lamp", "x"); m.ID = wire.NewID(); s.send(m) },
		},
		{"one of another account", "forged", func() { m := s.relay("lamp", "x"); body(m).Account = "account2"; s.send(m) }},
		{"one that is good for ever", "forged", func() { m := s.relay("lamp", "x"); body(m).Until = 1 << 60; s.send(m) }},
		{"one before the start", "expired", func() { m := s.relay("lamp", "x"); body(m).Until = -1; s.send(m) }},
		{"one for an earlier start", "expired", func() { m := s.relay("lamp", "x"); body(m).Boot = 0; s.send(m) }},
		{"one that is too long", "forged", func() { s.send(s.relay("lamp", strings.Repeat("x", wire.MaxRelay+1))) }},
		{
			"one that came too late", "expired",
			func() { m := s.relay("lamp", "x"); body(m).Until = s.clock() - 1000; s.send(m) },
		},
	} {
		was := s.dropped()[c.reason]
		c.send()
		eventually(t, time.Minute, c.name+" is "+c.reason, func() bool { return s.dropped()[c.reason] == was+1 })
	}
	honest := s.relay("lamp", "x")
	s.send(honest)
	for re := ""; re != honest.ID; re, _, _ = s.relayed() { // the late ones were answered with a reason
	}
	if n := reached.Load(); n != 1 {
		t.Errorf("%d requests reached a device, want the honest one", n)
	}
}

func TestARequestThatCrossesAChangeOfTheSealingKeyIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	s := play(t, func(o *cloudlink.Options) {
		o.KeyLife, o.AskEvery = 300*time.Millisecond, 100*time.Millisecond
		o.Relay = func(context.Context, home.DeviceID, []byte) ([]byte, error) {
			reached.Add(1)
			return []byte("done"), nil
		}
	})
	was := s.sealKey()
	m := s.relay("lamp", "toggle")
	changed := func() bool { return !slices.Equal(s.sealKey().Seal, was.Seal) }
	eventually(t, time.Minute, "the key is replaced", changed)
	for i := range 2 { // a hub has dropped the key before once the service's answer has arrived
		eventually(t, time.Minute, "the key before is dropped", func() bool { return len(s.seeds()) == 1 })
		s.send(m)
		if re, code, _ := s.relayed(); re != m.ID || code != wire.CodeOldKey {
			t.Errorf("time %d: %q, want %q", i, code, wire.CodeOldKey)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached the device", n)
	}
	code := wire.CodeOldKey
	for code == wire.CodeOldKey { // sealed again, as the service does
		m = s.relay("lamp", "toggle")
		s.send(m)
		_, code, _ = s.relayed()
	}
	was = s.sealKey()
	eventually(t, time.Minute, "the key is replaced again", changed)
	eventually(t, time.Minute, "the key before is dropped", func() bool { return len(s.seeds()) == 1 })
	s.send(m) // the broker brings it once more
	if re, code, plain := s.relayed(); re != m.ID || code != "" || plain != "done" || reached.Load() != 1 {
		t.Errorf("%q %q, reached the device %d times", code, plain, reached.Load())
	}
}
