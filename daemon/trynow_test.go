package daemon_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestTheWeakestOrderMovesADeviceAndGivesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1, refuses: true}
		h.run(func() {
			h.take(front)
			h.begin(2)
			time.Sleep(2 * time.Hour) // the pauses between its tries are an hour now
			h.lan.set(front, func(p *played) { p.refuses = false })
			must(t, h.engine.TryNow([]home.DeviceID{front}))
			time.Sleep(time.Second)
			if p := h.lan.now(front); p.holds != 2 {
				t.Errorf("it holds %d after the order", p.holds)
			}
			if r := h.row(front); r.Rekeyed.IsZero() || time.Since(r.Rekeyed) > time.Minute {
				t.Errorf("rekeyed at %v", r.Rekeyed)
			}

			h.expose(3) // somebody else may know its password
			must(t, h.engine.TryNow(nil))
			must(t, h.engine.TryNow([]home.DeviceID{front}))
			time.Sleep(time.Minute)
			if b, err := h.store.Binding(front); err != nil || b.Consents.Exposed != 0 {
				t.Errorf("the order gave a consent: %+v, %v", b.Consents, err)
			}
			if err := h.engine.TryNow([]home.DeviceID{back}); !errors.Is(err, home.ErrNotFound) {
				t.Errorf("an order for a device that is not bound: %v", err)
			}
		})
	})
}

func TestTheWeakestOrderEndsNoLockOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Minute)
			until := time.Now().Add(20 * time.Minute)
			_, err := h.store.Observe(front, home.Verdict{State: home.LockedOut, Until: until}, 0, time.Now())
			must(t, err)
			before, err := h.store.Binding(front)
			must(t, err)
			asked := h.lan.now(front).probes
			for range 10 {
				must(t, h.engine.TryNow([]home.DeviceID{front}))
				time.Sleep(time.Second)
			}
			after, err := h.store.Binding(front)
			must(t, err)
			if n := h.lan.now(front).probes; n != asked || after != before {
				t.Errorf("%d probes, the binding was %+v and is %+v", n-asked, before, after)
			}
		})
	})
}

// A publisher that keeps a topic for each device must learn that one is gone.
func TestTheRemovalOfADeviceIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		last := make(chan daemon.Row, 64)
		h.replace(func(o *daemon.Options) { o.Changed = func(r daemon.Row) { last <- r } })
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held["rk-front"] = h.lan.held[front] // its strongest key names it once it is not bound
		h.run(func() {
			must(t, h.store.Bind(acct, []home.Device{
				{ID: front, Protocol: home.IOT, Kind: home.Plug, Keys: []string{"rk:front", "mac:000000000001"}},
			}))
			h.engine.AccountChanged()
			time.Sleep(time.Second)
			must(t, h.engine.Unbind([]home.DeviceID{front}))
			time.Sleep(time.Second)
			var r daemon.Row
			for len(last) > 0 {
				if next := <-last; next.ID == front {
					r = next
				}
			}
			if r.ID != front || r.Bound || r.Protocol == "" {
				t.Errorf("the last report is %+v", r)
			}
		})
	})
}
