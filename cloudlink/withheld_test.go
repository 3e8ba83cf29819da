package cloudlink_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A broker that carries nothing new can still repeat old messages of the service.
func TestABrokerThatWithholdsIsNoticed(t *testing.T) {
	t.Parallel()
	s := play(t, func(o *cloudlink.Options) { o.Patience, o.AskEvery = 50*time.Millisecond, 50*time.Millisecond })
	up := func() bool { is, _ := s.link.State(); return is }
	eventually(t, time.Minute, "the link is up", up)
	again := s.sign(s.grant(1))
	muted := make(chan bool, 1)
	s.mu.Lock()
	s.mute = func(*wire.Message) bool {
		select {
		case muted <- true:
		default:
		}
		return true
	}
	s.mu.Unlock()
	<-muted // what came before is answered
	was := s.dropped()["replayed"]
	s.put(again)
	eventually(t, time.Minute, "the answers of before have arrived", func() bool { return s.dropped()["replayed"] > was })
	down := func() bool {
		up, why := s.link.State()
		return !up && strings.Contains(why, "does not answer")
	}
	eventually(t, time.Minute, "the link is down", func() bool { s.put(again); return down() })
	for range 40 { // and stays down, whatever is tried meanwhile
		s.put(again)
		if up() {
			t.Fatal("up again, though the service has sent nothing new")
		}
		time.Sleep(10 * time.Millisecond) // lets the link try; nothing can prove that it never is
	}
	s.mu.Lock()
	s.mute = nil
	s.mu.Unlock()
	eventually(t, time.Minute, "the link is up again", up)
}

func TestAWelcomeShowsThatAGrantWasLost(t *testing.T) {
	t.Parallel()
	s := play(t, func(o *cloudlink.Options) { o.Patience = 200 * time.Millisecond })
	for len(s.asked) > 0 {
		<-s.asked
	}
	s.mu.Lock()
	s.newest = 1 // notice and grant of epoch 2 do not arrive
	s.mu.Unlock()
	s.h.carrier.cut()
	for range 2 { // at the connect; and because of the welcome
		select {
		case a := <-s.asked:
			if a.Epoch != 1 {
				t.Fatalf("asked for what follows %d, want 1", a.Epoch)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was asked")
		}
	}
	s.send(s.grant(2))
	s.waitEpoch(2, time.Minute)
	eventually(t, time.Minute, "an empty outbox", s.quiet)
	for len(s.asked) > 0 {
		<-s.asked
	}
	time.Sleep(500 * time.Millisecond) // longer than the next would take; nothing can prove that it never comes
	if n := len(s.asked); n > 1 {      // one may have been on its way
		t.Errorf("%d questions more, and nothing is missing", n)
	}
}

func TestAPairingThatNamesNoBrokerIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(nil)
	p := h.pair()
	p.Brokers = wire.Brokers([]string{"mqtt://127.0.0.1:1", "gopher://anna:hunter22@127.0.0.1"})
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := b.link.Enrol(ctx, p, email, home.NewSecret(password))
	if err == nil || errors.Is(err, home.ErrUnavailable) || strings.Contains(err.Error(), "hunter22") ||
		time.Since(began) > 30*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	b.enrol() // it did no harm
}
