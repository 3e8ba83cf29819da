package daemon_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// A publisher can wait for a broker that does not read.
func TestABlockedCallbackStopsNoDeviceAndGetsTheNewestRowsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		unblock := make(chan struct{})
		var mu sync.Mutex // guards calls
		calls := map[home.DeviceID][]daemon.Row{}
		h.replace(func(o *daemon.Options) {
			o.Changed = func(r daemon.Row) {
				<-unblock
				mu.Lock()
				calls[r.ID] = append(calls[r.ID], r)
				mu.Unlock()
			}
		})
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.lan.held[back] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.see(front, back)
			time.Sleep(time.Second)
			h.bind(front, back)
			for e := home.Epoch(2); e < 6; e++ {
				h.begin(e)
				time.Sleep(10 * time.Second)
			}
			for id := range h.lan.held {
				if p := h.lan.now(id); p.holds != 5 {
					t.Errorf("%s holds epoch %d while a callback is blocked", id, p.holds)
				}
			}
			close(unblock)
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			for id := range h.lan.held {
				rows := calls[id]
				if len(rows) == 0 || len(rows) > 2 || rows[len(rows)-1] != h.row(id) {
					t.Errorf("%s: %d rows were reported, the last is %+v", id, len(rows), rows)
				}
			}
		})
	})
}
