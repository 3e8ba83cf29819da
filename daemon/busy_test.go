package daemon_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Relay takes three seconds, as every call of a slow driver.
func (d *slow) Relay(_ context.Context, dev home.Device, _ home.Candidates, request []byte) ([]byte, error) {
	d.stay(dev.Addr)
	return request, nil
}

// Callers of one device are served in the order in which they came, one at a time; who waits too long gives up, and
// delays no other.
func TestCallersOfABusyDeviceTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := &slow{sightings: make(chan []home.Sighting, 4), inside: map[netip.AddrPort]int{}, refuse: home.ErrRefused}
		h.with(d)
		h.run(func() {
			d.sightings <- sighting("mac:50c7bf000001")
			time.Sleep(5 * time.Second)
			h.bind("mac-50c7bf000001")
			var mu sync.Mutex // guards order and refused
			var order []byte
			refused := 0
			var all sync.WaitGroup
			began := time.Now()
			for i := range byte(8) {
				all.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					limit := time.Hour
					if i%4 == 3 {
						limit = time.Second
					}
					ctx, stop := context.WithTimeout(t.Context(), limit)
					defer stop()
					answer, err := h.engine.Relay(ctx, "mac-50c7bf000001", []byte{i})
					mu.Lock()
					defer mu.Unlock()
					if errors.Is(err, home.ErrBusy) {
						refused++
					} else if err == nil {
						order = append(order, answer...)
					} else {
						t.Error(err)
					}
				})
			}
			all.Wait()
			d.mu.Lock()
			defer d.mu.Unlock()
			if string(order) != "\x00\x01\x02\x04\x05\x06" || refused != 2 || d.most != 1 {
				t.Errorf("served %v, %d gave up, at most %d at once", order, refused, d.most)
			}
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
}
