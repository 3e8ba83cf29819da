package cloudlink_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// seeds returns the seeds of the hub's sealing keys, newest first.
func (b *hub) seeds() []home.Secret {
	b.h.t.Helper()
	keys, err := b.store.SealingKeys()
	must(b.h.t, err)
	all := make([]home.Secret, len(keys))
	for i, k := range keys {
		all[i] = k.Seed
	}
	return all
}

func TestAHubReplacesItsSealingKeyAtEachEpochAndDaily(t *testing.T) {
	t.Parallel()
	s := play(t, func(o *cloudlink.Options) { o.KeyLife, o.AskEvery = 300*time.Millisecond, 100*time.Millisecond })
	acks := make(chan *wire.Ack, 100)
	var lost sync.Map // IDs of acknowledgements whose answer does not arrive
	s.mu.Lock()
	s.mute = func(m *wire.Message) bool {
		a, ok := m.Body.(*wire.Ack)
		if ok {
			acks <- a
		}
		_, mute := lost.Load("all")
		return ok && mute
	}
	s.mu.Unlock()
	next := func() *wire.Ack {
		t.Helper()
		select {
		case a := <-acks:
			return a
		case <-time.After(time.Minute):
			t.Fatal("no acknowledgement")
			return nil
		}
	}
	first, second := next(), next() // within the epoch, as time goes by
	if slices.Equal(first.Seal, second.Seal) || first.Epoch != 1 || second.Epoch != 1 {
		t.Errorf("epochs %d and %d, or the same key twice", first.Epoch, second.Epoch)
	}

	// Until the service has answered, both keys stay: a grant that is on its way may be sealed to either.
	lost.Store("all", true)
	for len(acks) > 0 {
		<-acks
	}
	announced := next()
	if n := len(s.seeds()); n != 2 {
		t.Fatalf("%d keys while one is announced, want 2", n)
	}
	s.mu.Lock()
	s.newest = 1
	s.mu.Unlock()
	s.send(s.grant(2)) // to the key before
	s.waitEpoch(2, time.Minute)
	lost.Delete("all")
	eventually(t, time.Minute, "the epoch is acknowledged, and one key left", func() bool {
		return s.quiet() && len(s.seeds()) == 1
	})
	var last *wire.Ack
	for len(acks) > 0 {
		last = <-acks
	}
	if last == nil || last.Epoch != 2 {
		t.Errorf("the last acknowledgement was %+v, want that of epoch 2", last)
	}
	if announced.Epoch != 1 {
		t.Errorf("announced in epoch %d", announced.Epoch)
	}
}

func TestACopyOfAHubsFilesOpensNoLaterGrant(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(func(o *cloudlink.Options) { o.KeyLife, o.AskEvery = time.Second, 200*time.Millisecond })
	b.enrol()
	b.settled(1, time.Minute)
	b.stop()
	thief := t.TempDir()
	must(t, os.CopyFS(thief, os.DirFS(b.dir)))
	before := seedsIn(t, thief)
	b.start()
	eventually(t, time.Minute, "the daily change of the key", func() bool {
		now := b.seeds()
		return len(now) == 1 && !now[0].Equal(before[0])
	})

	var mu sync.Mutex // guards grants
	var grants []*wire.Grant
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if pub, ok := p.(*packets.PublishPacket); ok && d == down {
			if m, err := wire.ParseMessage(pub.Payload); err == nil {
				if g, ok := m.Body.(*wire.Grant); ok {
					mu.Lock()
					grants = append(grants, g)
					mu.Unlock()
				}
			}
		}
		emit(p)
		return true
	})
	h.reset("second-Horse-Battery")
	b.waitEpoch(2, time.Minute)
	h.carrier.set(nil)
	mu.Lock()
	defer mu.Unlock()
	if len(grants) == 0 {
		t.Fatal("no grant was carried")
	}
	for _, g := range grants {
		for _, seed := range before {
			key, err := wire.NewSealer([]byte(seed.Reveal()))
			must(t, err)
			if _, err := key.OpenGrant(b.id.Name, g); err == nil {
				t.Errorf("the copy opens the grant of epoch %d", g.Notice.Epoch)
			}
		}
	}
}

// seedsIn returns the seeds of the sealing keys in a state directory.
func seedsIn(t *testing.T, dir string) []home.Secret {
	t.Helper()
	store, err := localstore.Open(localstore.Options{Dir: dir, Log: quiet})
	must(t, err)
	defer store.Close()
	keys, err := store.SealingKeys()
	must(t, err)
	var all []home.Secret
	for _, k := range keys {
		all = append(all, k.Seed)
	}
	hk, err := store.HubKeys()
	must(t, err)
	return append(all, hk.Seal)
}

func TestASecondLoginEndsTheFirstAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(nil)
	h.carrier.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if _, ok := p.(*packets.PublishPacket); !ok { // the first is not answered
			emit(p)
		}
		return true
	})
	p := h.pair()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ended <- b.link.Enrol(ctx, p, email, home.NewSecret(password)) }()
	eventually(t, time.Minute, "the first waits", func() bool { return h.carrier.dialled() > 0 })
	time.AfterFunc(10*time.Millisecond, func() { h.carrier.set(nil) })
	second := make(chan error, 1)
	go func() { second <- b.link.Enrol(ctx, p, email, home.NewSecret(password)) }()
	var err error
	select {
	case err = <-ended:
	case err = <-second: // the other goroutine came first
		ended, second = second, ended
	case <-time.After(time.Minute):
		t.Fatal("the first still waits")
	}
	if err == nil || !strings.Contains(err.Error(), "another sign-in has begun") {
		t.Errorf("the first ended with: %v", err)
	}
	must(t, <-second)
}
