package cloudlink_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A hub that stops while it enrols belongs to the account or does not; in neither case is it in the way of a new
// attempt.
func TestAHubThatStopsWhileItEnrolsIsInOrMayTryAgain(t *testing.T) {
	t.Parallel()
	joined := 0
	for n := range 7 { // an enrolment takes about seven
		h := open(t, "")
		b := h.hub(hasty)
		reached := make(chan struct{})
		h.carrier.set(stopsAt(n, reached))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		p := h.pair()
		b.account = home.AccountID(p.Account)
		done := make(chan error, 1)
		go func() { done <- b.link.Enrol(ctx, p, email, home.NewSecret(password)) }()
		select {
		case <-reached:
		case err := <-done:
			must(t, err)
			done <- nil
		case <-time.After(time.Minute):
			t.Fatalf("message %d does not come", n)
		}
		b.stop()
		cancel()
		<-done
		h.carrier.set(nil)
		b.start()
		switch _, err := b.store.Account(); {
		case errors.Is(err, home.ErrNoAccount):
			b.enrol()
		case err != nil:
			t.Fatal(err)
		default:
			joined++
			b.waitEpoch(1, time.Minute)
		}
		b.bind(2)
		b.settled(1, time.Minute)
		cs, err := b.store.Credentials(b.account)
		must(t, err)
		if cs[0].Password.Reveal() != password || cs[0].EpochSecret.IsZero() {
			t.Errorf("stopped after %d messages: the vault lacks the first credential", n)
		}
		b.stop()
		h.stop()
	}
	if joined == 0 || joined == 7 {
		t.Errorf("%d of 7 hubs had joined when they stopped, want some", joined)
	}
}

// What was bound or unbound without a connection is reported later, whichever end was stopped and when.
func TestAnUnbindingReachesTheServiceWheneverAHubStops(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	b.bind(8)
	b.settled(1, time.Minute)
	for n := range 4 {
		gone := b.devices[:2]
		reached := make(chan struct{})
		h.carrier.set(stopsAt(n, reached))
		must(t, b.store.Unbind(gone))
		b.link.Wake()
		eventually(t, time.Minute, fmt.Sprintf("message %d", n), func() bool {
			select {
			case <-reached:
				return true
			default:
			}
			es, err := b.store.Errands(1)
			must(t, err)
			return len(es) == 0
		})
		b.stop()
		h.carrier.set(nil)
		b.start()
		b.devices = b.devices[2:]
		b.settled(1, time.Minute)
		for _, d := range gone {
			if _, listed := h.online()[d]; listed {
				t.Fatalf("stopped after %d messages: %s was unbound, the hub has reported it, and the service lists it", n, d)
			}
		}
	}
}

// bound starts a device that speaks the link and has it join, over brokers of its own.
func bound(t *testing.T, h *house, b *hub, state device.Keeper, brokers []string) *native {
	t.Helper()
	n := startNative(t, h, state)
	a, err := b.store.Account()
	must(t, err)
	if code := n.join(b.id, a, brokers); code != "" {
		t.Fatalf("join refused: %s", code)
	}
	must(t, b.store.Bind(b.account, []home.Device{{ID: n.d.ID(), Kind: home.Plug, Protocol: home.Native, Name: "lamp"}}))
	b.link.Wake()
	return n
}

// own returns a carrier for a device alone, and its address many times over.
func (h *house) own(t *testing.T) (c *carrier, urls []string) {
	t.Helper()
	c = carry(t, h.local)
	t.Cleanup(c.close)
	for range 30 {
		urls = append(urls, c.url())
	}
	return c, urls
}

func TestADeviceThatStopsAfterAnyMessageGoesOn(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(nil)
	b.enrol()
	for count := range 14 { // joining, and the first sign-in, take about thirteen
		c, urls := h.own(t)
		reached := make(chan struct{})
		c.set(stopsAt(count, reached))
		state := device.File(filepath.Join(t.TempDir(), "state"))
		n := bound(t, h, b, state, urls)
		eventually(t, time.Minute, fmt.Sprintf("message %d", count), func() bool {
			select {
			case <-reached:
				return true
			default:
			}
			held, signedIn := n.d.Holds()
			return held == 1 && signedIn == 1
		})
		n.stop()
		c.set(nil)
		n = startNative(t, h, state)
		n.holds(1)
		id := n.d.ID()
		eventually(
			t, time.Minute, fmt.Sprintf("stopped after %d messages, and signed in at the service", count),
			func() bool { return h.online()[id] },
		)
		n.stop()
	}
}

// The hub passes notices on through the endpoint, for a device whose broker carries none.
func TestANoticeReachesADeviceThroughItsEndpoint(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(nil)
	b.enrol()
	c, urls := h.own(t)
	n := bound(t, h, b, &device.Volatile{}, urls)
	n.holds(1)
	c.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if _, ok := p.(*packets.PublishPacket); !ok || d != down { // else what it asked before may be answered with the grant
			emit(p)
		}
		return true
	})
	h.reset("second-Horse-Battery")
	b.waitEpoch(2, time.Minute)
	a, err := b.store.Account()
	must(t, err)
	notice, err := wire.ParseNotice(a.NoticeJSON)
	must(t, err)

	stranger, err := wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	other := notice
	other.Epoch = 7
	for _, forged := range []wire.Notice{stranger.SignNotice(notice), other} {
		if d, ok := n.post(b.id, &wire.Passed{Notice: forged}).(*wire.Done); !ok || d.Code != "" {
			t.Errorf("answered %+v", d)
		}
	}
	time.Sleep(300 * time.Millisecond) // longer than it takes to follow; nothing can prove that it never does
	if held, _ := n.d.Holds(); held != 1 {
		t.Fatalf("it holds epoch %d without a grant", held)
	}
	c.set(func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if pub, ok := p.(*packets.PublishPacket); ok && d == down {
			if m, err := wire.ParseMessage(pub.Payload); err != nil || m.Re == "" { // a notice, or a grant that comes by itself
				return true
			}
		}
		emit(p)
		return true
	})
	anybody, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
	must(t, err)
	n.post(anybody, &wire.Passed{Notice: notice}) // signed by the service: it does not matter who passes it on
	n.holds(2)
}
