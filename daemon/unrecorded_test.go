package daemon_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

var errDiskFull = errors.New("no space left on device")

// fullDisk is a ledger whose writes fail while full is set. Its reads succeed, like those of a real store.
type fullDisk struct {
	*localstore.Store
	full, observeToo, known atomic.Bool
}

// Writable fails like a store that has noticed that its disk is full.
func (l *fullDisk) Writable() error {
	if l.full.Load() && l.known.Load() {
		return errDiskFull
	}
	return nil
}

func (l *fullDisk) Intend(id home.DeviceID, from, to home.Epoch, at time.Time) (home.Intent, error) {
	if l.full.Load() {
		return home.Intent{}, errDiskFull
	}
	return l.Store.Intend(id, from, to, at)
}

func (l *fullDisk) Postpone(id home.DeviceID, next time.Time) error {
	if l.full.Load() {
		return errDiskFull
	}
	return l.Store.Postpone(id, next)
}

func (l *fullDisk) Observe(id home.DeviceID, v home.Verdict, rank home.ProofRank, at time.Time) (home.Binding, error) {
	if l.full.Load() && l.observeToo.Load() {
		return home.Binding{}, errDiskFull
	}
	return l.Store.Observe(id, v, rank, at)
}

func TestPausesGrowWhileTheLedgerCannotBeWritten(t *testing.T) {
	for name, observeToo := range map[string]bool{"intents cannot be written": false, "verdicts cannot be written": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				ledger := &fullDisk{Store: h.store}
				ledger.observeToo.Store(observeToo)
				h.replace(func(o *daemon.Options) { o.Ledger = ledger })
				h.lan.held[front] = &played{match: home.Ours, holds: 1}
				h.run(func() {
					h.take(front)
					time.Sleep(time.Second)
					ledger.full.Store(true)
					h.begin(2)
					before := h.lan.now(front).probes
					time.Sleep(time.Hour)
					p := h.lan.now(front)
					if n := p.probes - before; n > 40 || n < 4 {
						t.Errorf("probed %d times in an hour", n)
					}
					if p.moves != 0 {
						t.Errorf("moved %d times without an intent on disk", p.moves)
					}
					ledger.full.Store(false)
					time.Sleep(2 * time.Hour)
					if p := h.lan.now(front); p.holds != 2 {
						t.Error("the device was not moved after the disk had room again")
					}
				})
			})
		})
	}
}

func TestNoDeviceIsTouchedWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ledger := &fullDisk{Store: h.store}
		h.replace(func(o *daemon.Options) { o.Ledger = ledger })
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			ledger.known.Store(true)
			ledger.full.Store(true)
			h.begin(2)
			before := h.lan.now(front)
			time.Sleep(3 * time.Hour)
			if now := h.lan.now(front); now.probes != before.probes || now.moves != 0 {
				t.Errorf("probed %d times, moved %d times", now.probes-before.probes, now.moves)
			}
			ledger.full.Store(false)
			time.Sleep(2 * time.Hour)
			if p := h.lan.now(front); p.holds != 2 {
				t.Error("the device was not moved after the disk had room again")
			}
		})
	})
}

// An order to probe is answered while the disk is full: reading needs no record, a sign-in that counts is not sent
// without one (Budget.Spend), and nothing moves the device.
func TestADeviceIsReadAndNotMovedWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ledger := &fullDisk{Store: h.store}
		h.replace(func(o *daemon.Options) { o.Ledger = ledger })
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		h.run(func() {
			h.take(front)
			time.Sleep(time.Second)
			ledger.known.Store(true)
			ledger.full.Store(true)
			h.begin(2)
			got, err := h.engine.Probe(t.Context(), []home.DeviceID{front})
			must(t, err)
			if len(got) != 1 || got[0].Verdict != home.Stale || got[0].Epoch != 1 {
				t.Errorf("probed %+v, want stale at epoch 1", got)
			}
			if now := h.lan.now(front); now.moves != 0 {
				t.Errorf("moved %d times", now.moves)
			}
		})
	})
}
