package app

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
)

// hubOf is a hub of a fakeHouse beside others, with the devices that it moved.
type hubOf struct {
	*Hub
	stop  func()
	moves moves
	off   atomic.Bool
}

// addHub starts a hub with a state of its own in the house.
func (h *fakeHouse) addHub(state string) *hubOf {
	return h.addHubThatSees(state, func(*unit) bool { return true })
}

// addHubThatSees starts a hub in whose network some of the devices are.
func (h *fakeHouse) addHubThatSees(state string, sees func(*unit) bool) *hubOf {
	x := &hubOf{moves: moves{running: map[home.DeviceID]int{}}}
	dial := func(addr string) (net.Conn, error) {
		c, err := h.net.dialBroker(addr)
		return mortal(c, err, &x.off)
	}
	e := edges{
		engine: func(hub *Hub, o *daemon.Options) {
			ds, err := catalog.New(catalog.Options{Hub: hub.identity, Budget: hub.store, Memory: hub.store, Dial: h.net.dial})
			h.must(err)
			for p, d := range ds {
				o.Drivers[p] = watch(watch(d, &h.moves), &x.moves)
			}
			o.Discovery = visible{h, sees}
		},
		link: func(o *cloudlink.Options) { o.Dial, o.Name = dial, state },
	}
	x.Hub, x.stop = h.openHub(state, e)
	return x
}

// mortal is a connection over which nothing is sent while off is set.
func mortal(c net.Conn, err error, off *atomic.Bool) (net.Conn, error) {
	if err == nil {
		c = mortalConn{c, off}
	}
	return c, err
}

// moved returns the devices that a hub has moved since the last call.
func (x *hubOf) moved() map[home.DeviceID]bool {
	x.moves.mu.Lock()
	defer x.moves.mu.Unlock()
	ids := map[home.DeviceID]bool{}
	for id := range x.moves.running {
		ids[id] = true
	}
	clear(x.moves.running)
	return ids
}

// current counts the devices that a hub shows as current, and those that are.
func (h *fakeHouse) current(x *hubOf) (shown, bound int) {
	h.t.Helper()
	a, rows, err := x.engine.House()
	h.must(err)
	for _, r := range rows {
		u := h.unitOf(r.ID)
		if !r.Bound || u == nil {
			continue
		}
		bound++
		if r.Verdict != home.Current {
			continue
		}
		shown++
		if !u.current(a.Epoch) {
			h.t.Errorf("%s is shown current and is not", r.Name)
		}
	}
	return shown, bound
}

// newPair is a house with two hubs of its account. The owner has bound the devices at the first.
func newPair(t *testing.T, dir string) (h *fakeHouse, first, second *hubOf) {
	h = newEmptyHouse(t, dir, 1)
	first = h.addHub("kitchen")
	h.hub = first.Hub // bind and answer are orders at this one
	h.must(h.call("", "register", map[string]any{"email": ownerEmail, "password": h.known}, nil))
	h.must(h.enrol(first.Hub, h.known))
	h.wait(2 * time.Minute)
	h.bind()
	h.wait(2 * time.Minute)
	second = h.addHub("attic")
	h.must(h.enrol(second.Hub, h.known))
	h.wait(5 * time.Minute)
	h.wantConsents(second)
	h.hub = second.Hub
	h.answer()
	h.hub = first.Hub
	h.wait(5 * time.Minute)
	return h, first, second
}

// wantConsents fails unless the devices without a proof of their own wait for the owner's consent at a hub: a consent
// at another hub is none here.
func (h *fakeHouse) wantConsents(x *hubOf) {
	h.t.Helper()
	_, rows, err := x.engine.House()
	h.must(err)
	for _, r := range rows {
		if clear := r.Protocol.Info().Cleartext; r.Bound && clear != r.Consent {
			h.t.Errorf("%s needs a consent at the second hub: %t, want %t", r.Name, r.Consent, clear)
		}
	}
}

// end ends a house of several hubs.
func (h *fakeHouse) end(hubs ...*hubOf) {
	h.stopHub = func() {
		for _, x := range hubs {
			x.stop()
		}
	}
	h.close()
}

// wantAll fails unless a hub shows every device of the house as current.
func (h *fakeHouse) wantAll(x *hubOf, when string) {
	h.t.Helper()
	if shown, bound := h.current(x); bound != len(h.units)-3 || shown != bound {
		_, rows, _ := x.engine.House()
		for _, r := range rows {
			if r.Bound && r.Verdict != home.Current {
				h.t.Logf("%s is %s (%d), %s", r.Name, r.Verdict, r.Epoch, r.Detail)
			}
		}
		h.t.Errorf("%s: %s shows %d of %d devices current, want all of %d", when, x.o.State, shown, bound, len(h.units)-3)
	}
}

// Two hubs of one account in one house: one moves the devices, and both show the true state.
func TestOneOfTwoHubsMovesTheDevices(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, first, second := newPair(t, dir)
		defer h.end(first, second)
		h.wantAll(first, "with a second hub")
		h.wantAll(second, "as the second hub")
		first.moved()
		for range 4 {
			h.reset(false)
			h.wait(3 * time.Minute)
			h.answer()
			h.wait(2 * time.Minute)
			if n := len(first.moved()); n < len(h.units)-4 { // a native device may move itself first
				t.Errorf("the first hub moved %d devices", n)
			}
			if n := len(second.moved()); n != 0 {
				t.Errorf("the second hub moved %d devices", n)
			}
			h.wantAll(first, "after a reset")
			h.wantAll(second, "after a reset")
			h.wait(70 * time.Minute) // a device that proves nothing costs each hub a sign-in that may be wrong: see its budget
		}
		got, want := h.acting(second), []daemon.Acting{{Hub: "kitchen", Devices: len(h.units) - 3}}
		if !slices.Equal(got, want) {
			t.Errorf("status: %v, want %v", got, want)
		}
		err := second.engine.Rekey([]home.DeviceID{h.units[0].dev.ID()}, false)
		if err == nil || !strings.Contains(home.HintOf(err), "kitchen") {
			t.Errorf("an order at the other hub: %v, hint %q", err, home.HintOf(err))
		}
		if len(h.moves.twice) > 0 {
			t.Errorf("moved twice at a time: %v", h.moves.twice)
		}
	})
}

// After the hub that moved the devices is dead, the other moves them and signs them in, within two minutes.
func TestTheOtherHubTakesOverWithinTwoMinutes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, first, second := newPair(t, dir)
		defer h.end(second)
		first.off.Store(true) // it gives no lease back
		first.stop()
		h.reset(false)
		died := time.Now()
		for range 120 {
			time.Sleep(time.Second)
			if shown, bound := h.current(second); shown == bound {
				break
			}
		}
		t.Logf("taken over after %v", time.Since(died))
		h.wantAll(second, "after the first hub died")
		again := h.addHub("kitchen")
		defer again.stop()
		h.wait(70 * time.Minute)
		again.moved()
		h.reset(false)
		h.wait(5 * time.Minute)
		if n := len(again.moved()); n != 0 {
			t.Errorf("a hub that came back moved %d devices of the other", n)
		}
		h.wantAll(second, "after the first hub came back")
		h.wantAll(again, "after it came back")
	})
}

// A hub that is stopped gives its lease back: the other one need not wait for its end.
func TestAHubThatIsStoppedGivesItsLeaseBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, first, second := newPair(t, dir)
		defer h.end(second)
		first.stop()
		h.reset(false)
		h.wait(45 * time.Second) // it asks every 20 s, and then moves and signs in
		h.wantAll(second, "right after the first hub was stopped")
	})
}

// Hubs that cannot renew their leases begin no move, also after a restart. A hub that is alone goes on.
func TestHubsThatAreCutOffBeginNoMove(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, first, second := newPair(t, dir)
		defer func() { h.end(first, second) }()
		plug := h.units[0]
		plug.dev.PowerOff()
		h.reset(false)
		h.wait(5 * time.Minute)
		first.off.Store(true)
		second.off.Store(true)
		h.wait(time.Minute)
		first.stop()
		first = h.addHub("kitchen")
		first.off.Store(true)
		first.moved()
		second.moved()
		plug.powerOn()
		h.wait(time.Hour)
		if n, m := len(first.moved()), len(second.moved()); n+m > 0 {
			t.Errorf("without a lease the hubs moved %d and %d devices", n, m)
		}
		first.off.Store(false)
		second.off.Store(false)
		h.wait(5 * time.Minute)
		h.wantAll(first, "after the service was back")
		h.wantAll(second, "after the service was back")
		h.removeHub(second)
		h.wait(20 * time.Minute)
		plug.dev.PowerOff()
		h.reset(false)
		h.wait(5 * time.Minute)
		first.off.Store(true)
		plug.powerOn()
		h.wait(10 * time.Minute)
		if !plug.current(home.Epoch(len(h.passwords))) {
			t.Error("a hub that is alone stood by while the service was away")
		}
	})
}

// removeHub removes a hub from the account, as its owner does.
func (h *fakeHouse) removeHub(x *hubOf) {
	h.t.Helper()
	var in struct{ Token string }
	h.must(h.call("", "login", map[string]string{
		"appType": Web.AppType, "cloudUserName": ownerEmail, "cloudPassword": h.known, "terminalUUID": "test",
	}, &in))
	h.must(h.call(in.Token, "removeHub", map[string]string{"hub": x.identity.Name}, nil))
}

// A hub in another house of the owner moves its own devices, and neither hub waits for the other. The service may
// restart at any time.
func TestHubsInTwoHousesMoveTheirOwnDevices(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newEmptyHouse(t, dir, 1)
		klap := func(u *unit) bool { return !u.stranger && u.spec.Protocol == home.KLAP2 }
		first := h.addHubThatSees("kitchen", func(u *unit) bool { return !klap(u) })
		second := h.addHubThatSees("cottage", klap)
		defer h.end(first, second)
		h.must(h.call("", "register", map[string]any{"email": ownerEmail, "password": h.known}, nil))
		for _, x := range []*hubOf{first, second} {
			h.must(h.enrol(x.Hub, h.known))
			h.wait(2 * time.Minute)
			h.hub = x.Hub
			h.bind()
			h.wait(2 * time.Minute)
		}
		for range 2 {
			first.moved()
			second.moved()
			h.reset(false)
			h.wait(2 * time.Minute)
			if shown, bound := h.current(second); shown != 1 || bound != 1 || len(second.moved()) != 1 {
				t.Errorf("the hub of the other house shows %d of %d devices current", shown, bound)
			}
			if shown, bound := h.current(first); shown != bound || bound != len(h.units)-4 {
				t.Errorf("the first hub shows %d of %d devices current", shown, bound)
			}
			h.restartService(first, second)
			h.wait(70 * time.Minute)
		}
		if len(h.acting(first))+len(h.acting(second)) > 0 {
			t.Error("a hub stands by")
		}
	})
}

// acting returns the other hubs that a hub shows as moving its devices.
func (h *fakeHouse) acting(x *hubOf) []daemon.Acting {
	s, err := x.face.Status()
	h.must(err)
	return s.Acting
}

// restartService ends the service and its broker, and starts them on the same state. The hubs stay.
func (h *fakeHouse) restartService(hubs ...*hubOf) {
	h.stopBroker()
	h.stopService()
	h.wait(time.Minute)
	h.startService()
	for _, x := range hubs {
		x.link.Ask()
	}
}

// visible is the discovery of a network with some of the devices of a house.
type visible struct {
	*fakeHouse
	sees func(*unit) bool
}

// Run is daemon.Discovery.
func (v visible) Run(ctx context.Context, see func([]home.Sighting)) error {
	return v.fakeHouse.Run(ctx, func(all []home.Sighting) {
		see(slices.DeleteFunc(all, func(s home.Sighting) bool {
			return slices.ContainsFunc(v.units, func(u *unit) bool { return u.dev.Addr() == s.Addr && !v.sees(u) })
		}))
	})
}
