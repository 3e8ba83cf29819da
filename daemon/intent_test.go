package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// observer is a driver that records which devices were probed, in order, and with which credentials.
type observer struct {
	*lan
	mu     sync.Mutex // guards the fields below
	probed []home.DeviceID
	tried  map[home.DeviceID][]home.Epoch
}

func (o *observer) Probe(ctx context.Context, d home.Device, c home.Candidates) (home.Finding, error) {
	o.mu.Lock()
	o.probed = append(o.probed, d.ID)
	if o.tried[d.ID] == nil {
		for _, cr := range c.Credentials {
			o.tried[d.ID] = append(o.tried[d.ID], cr.Epoch)
		}
	}
	o.mu.Unlock()
	return o.lan.Probe(ctx, d, c)
}

// A crash in the middle of a move leaves an intent. The next start probes that device before all others, and tries
// what it may hold right after the newest credential.
func TestAnInterruptedMoveComesFirstAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var ids []home.DeviceID
		for i := range 40 {
			id := home.DeviceID(fmt.Sprintf("mac-0000000000%02x", i+1))
			ids = append(ids, id)
			h.lan.held[id] = &played{match: home.Ours, holds: 1}
		}
		h.run(func() {
			h.see(ids...)
			time.Sleep(time.Second)
			h.bind(ids...)
			time.Sleep(time.Second)
		})
		for e := home.Epoch(2); e <= 5; e++ {
			c := home.Credential{
				Epoch:       e,
				Username:    "Anna@example.org",
				Password:    home.NewSecret(fmt.Sprint("pw", e)),
				EpochSecret: home.NewSecret(fmt.Sprint("s", e)),
			}
			_, err := h.store.BeginEpoch(acct, c, []byte{byte(e)}, []byte("{}"))
			must(t, err)
			if e == 3 { // the hub crashed while it moved this one, and missed two epochs
				_, err = h.store.Intend(ids[20], 1, 3, time.Now())
				must(t, err)
			}
		}
		o := &observer{lan: h.lan, tried: map[home.DeviceID][]home.Epoch{}}
		h.replace(func(options *daemon.Options) {
			options.Parallel, options.Drivers = 1, map[home.Protocol]daemon.Driver{home.IOT: o}
		})
		h.run(func() { time.Sleep(time.Minute) })
		if len(o.probed) == 0 || o.probed[0] != ids[20] {
			t.Errorf("the first of %d probes was of %v, want %s", len(o.probed), o.probed[:min(1, len(o.probed))], ids[20])
		}
		if got := o.tried[ids[20]]; !slices.Equal(got, []home.Epoch{5, 3, 1, 4, 2}) {
			t.Errorf("credentials are tried in the order of epochs %v", got)
		}
		if got := o.tried[ids[0]]; !slices.Equal(got, []home.Epoch{5, 4, 3, 2, 1}) {
			t.Errorf("those of a device without an intent in the order of epochs %v", got)
		}
	})
}
