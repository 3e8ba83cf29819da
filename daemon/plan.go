package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// When a device is looked at next.

// again plans the next look at a device whose verdict needs nothing now.
func (r *Rekeyer) again(id home.DeviceID, v home.Verdict) {
	wait := jitter(r.o.Recheck)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[id] == nil {
		return // renamed meanwhile
	}
	w := r.row(id)
	switch v.State {
	case home.Current:
		if at, ok := w.binding.Glance(time.Now()); w.bound && ok {
			wait = min(wait, max(time.Until(at), 0)+jitter(glanceSpread))
		}
	case home.Unreachable:
		// It is looked at at once when it is seen again; this is for one that answers, but is never seen.
		wait = jitter(min(time.Minute<<min(w.misses, 6), r.o.Recheck))
	case home.Pending:
		wait = jitter(time.Minute)
	case home.LockedOut:
		wait = max(time.Until(v.Until), time.Minute)
	}
	r.schedule(id, time.Now().Add(wait))
}

// glanceSpread keeps devices that were moved together from being looked at again together.
const glanceSpread = 30 * time.Second

// postpone schedules the next try after one that did not bring the device to the newest epoch: after two seconds at first,
// then longer each time, up to an hour. The ledger counts the tries. Those that it could not record, and those of a device
// that is not bound, are counted in memory: pauses also grow while the disk is full.
func (r *Rekeyer) postpone(ctx context.Context, id home.DeviceID, step string, err error, b home.Binding) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the daemon ends: the intent, where there is one, is on disk
	}
	r.mu.Lock()
	tries := b.Tries
	if w := r.rows[id]; w != nil {
		tries += w.unrecorded
	}
	r.mu.Unlock()
	pause := jitter(min(4*time.Second<<min(tries, 12), time.Hour))
	if errors.Is(err, home.ErrBusy) {
		pause = time.Second
	}
	r.o.Log.Warn("device not rekeyed", "device", id, "step", step, "err", err, "pause", pause)
	next := time.Now().Add(pause)
	recorded := false
	if b.Device != "" { // it is bound
		perr := r.o.Ledger.Postpone(id, next.UTC().Round(0))
		if recorded = perr == nil; perr != nil && !errors.Is(perr, home.ErrNotFound) {
			r.o.Log.Error("pause not recorded", "device", id, "err", perr)
		}
	}
	defer r.tell([]home.DeviceID{id})
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.rows[id]; w != nil {
		w.binding.Tries++
		if w.unrecorded++; recorded {
			w.unrecorded = 0
		}
		if step == "rekey" || errors.Is(err, home.ErrBudget) {
			w.trouble = err
		}
		r.schedule(id, next)
	}
}

// release ends a job.
func (r *Rekeyer) release(id home.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for to, ok := r.heirs[id]; ok; to, ok = r.heirs[id] {
		delete(r.heirs, id) // renamed meanwhile
		id = to
	}
	w := r.rows[id]
	if w == nil {
		return
	}
	w.busy = false
	if w.again {
		w.again = false
		r.schedule(id, time.Now())
	}
}
