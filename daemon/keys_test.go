package daemon_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// slow is a driver whose every call takes three seconds, with a discovery.
type slow struct {
	sightings chan []home.Sighting
	refuse    error // what Rekey returns

	mu     sync.Mutex // guards the fields below
	inside map[netip.AddrPort]int
	most   int
}

func (d *slow) stay(a netip.AddrPort) {
	d.mu.Lock()
	d.inside[a]++
	d.most = max(d.most, d.inside[a])
	d.mu.Unlock()
	time.Sleep(3 * time.Second) // of the bubble's time
	d.mu.Lock()
	d.inside[a]--
	d.mu.Unlock()
}

func (d *slow) Probe(_ context.Context, dev home.Device, _ home.Candidates) (home.Finding, error) {
	d.stay(dev.Addr)
	return home.Finding{Match: home.Ours, Device: dev, Verdict: home.Verdict{State: home.Stale}}, nil
}

func (d *slow) Rekey(_ context.Context, dev home.Device, _ home.Move) error {
	d.stay(dev.Addr)
	return d.refuse
}

func (d *slow) Run(ctx context.Context, see func([]home.Sighting)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-d.sightings:
			see(s)
		}
	}
}

func (h *house) with(d *slow) {
	h.t.Helper()
	h.replace(func(o *daemon.Options) { o.Discovery, o.Drivers = d, map[home.Protocol]daemon.Driver{home.IOT: d} })
}

func sighting(keys ...string) []home.Sighting {
	return []home.Sighting{{
		Source: "iot-udp", Protocol: home.IOT, Keys: keys, Name: "lamp", Kind: home.Plug,
		Addr: netip.MustParseAddrPort("127.9.0.1:9999"), Match: home.Unknown, At: time.Now(),
	}}
}

func TestAStrongerKeySeenDuringAMoveStartsNoSecondJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}}
		h.with(d)
		h.run(func() {
			d.sightings <- sighting("iot:8006AA")
			time.Sleep(5 * time.Second)
			_, rows, _ := h.engine.House()
			h.bind(rows[0].ID)
			time.Sleep(4 * time.Second) // it is being moved
			d.sightings <- sighting("mac:50c7bf000001", "iot:8006AA")
			time.Sleep(20 * time.Second)
			d.mu.Lock()
			most := d.most
			d.mu.Unlock()
			if most != 1 {
				t.Errorf("%d jobs at once at one device", most)
			}
			_, rows, _ = h.engine.House()
			if len(rows) != 1 || rows[0].ID != "iot-8006aa" || !rows[0].Bound {
				t.Errorf("the house is %+v", rows)
			}
		})
	})
}

func TestADeviceThatCannotBeMovedHasAReasonAndAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}}
		d.refuse = &home.Error{
			Op:   "rekey",
			Err:  errors.New("this hub never received the new password"),
			Hint: "sign in with: rekeyd login EMAIL",
		}
		h.with(d)
		h.run(func() {
			d.sightings <- sighting("mac:50c7bf000001")
			time.Sleep(5 * time.Second)
			h.bind("mac-50c7bf000001")
			time.Sleep(30 * time.Second)
			if r := h.row("mac-50c7bf000001"); r.Hint != "sign in with: rekeyd login EMAIL" ||
				!strings.Contains(r.Detail, "never received the new password") {
				t.Errorf("hint %q, detail %q", r.Hint, r.Detail)
			}
		})
	})
}

// restarting is a driver of devices that cannot be moved, and take three seconds to restart.
type restarting struct{ *slow }

func (d restarting) Restart(_ context.Context, dev home.Device, _ home.Candidates) error {
	d.stay(dev.Addr)
	return nil
}

func TestAStrongerKeySeenDuringARestartAddsNoRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}, refuse: home.ErrRefused}
		h.replace(func(o *daemon.Options) {
			o.Discovery = d
			o.Drivers = map[home.Protocol]daemon.Driver{home.IOT: restarting{d}}
		})
		h.run(func() {
			d.sightings <- sighting("iot:8006AA")
			time.Sleep(5 * time.Second)
			_, rows, _ := h.engine.House()
			h.bind(rows[0].ID)
			must(t, h.engine.Rekey([]home.DeviceID{rows[0].ID}, true))
			time.Sleep(10 * time.Second) // probed, not moved, probed: it restarts
			d.sightings <- sighting("mac:50c7bf000001", "iot:8006AA")
			time.Sleep(10 * time.Minute)
			if _, rows, _ = h.engine.House(); len(rows) != 1 || rows[0].ID != "iot-8006aa" {
				t.Errorf("the house is %+v", rows)
			}
		})
	})
}

// A device that was bound under two IDs, before both of its keys were seen together, is kept current under one of
// them. The other row states that.
func TestADeviceThatIsBoundTwiceIsMovedOnceAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}, refuse: home.ErrRefused}
		h.with(d)
		h.run(func() {
			d.sightings <- sighting("iot:8006AA")
			time.Sleep(4 * time.Second)
			h.bind("iot-8006aa")
			d.sightings <- sighting("mac:50c7bf000001")
			time.Sleep(4 * time.Second)
			h.bind("mac-50c7bf000001")
			time.Sleep(time.Minute)
			d.sightings <- sighting("mac:50c7bf000001", "iot:8006AA")
			time.Sleep(2 * time.Minute)
			d.mu.Lock()
			d.most = 0
			d.mu.Unlock()
			must(t, h.engine.Rekey(nil, false))
			time.Sleep(time.Minute)
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.most != 1 {
				t.Errorf("%d jobs at once at one device", d.most)
			}
			if r := h.row("iot-8006aa"); r.Hint != "unbind it under this name with: rekeyd unbind iot-8006aa" ||
				!strings.Contains(r.Detail, "mac-50c7bf000001") {
				t.Errorf("the other row: hint %q, detail %q", r.Hint, r.Detail)
			}
		})
	})
}
