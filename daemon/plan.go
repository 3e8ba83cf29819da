package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// errAlias is returned for an ID that leads to a device with another ID, whose jobs serve both.
var errAlias = errors.New("bound twice")

// planNext schedules the next job for a device whose verdict needs nothing now.
func (r *Rekeyer) planNext(t task, v home.Verdict) {
	now := time.Now()
	wait := jitter(r.o.Recheck)
	near := t.subject.Bound() && r.o.Roster.Here(t.device.ID)
	r.with(t.device.ID, func(m *memory) {
		switch v.State {
		case home.Current:
			if at, ok := t.subject.Binding.Glance(now); t.subject.Bound() && ok {
				wait = min(wait, max(at.Sub(now), 0)+jitter(glanceSpread))
			}
		case home.Unreachable:
			first, more := r.due.first()
			behind := more && now.Sub(first) > time.Second // other devices wait for a slot
			if wait = time.Second << max(m.misses-1, 0); !near || behind || m.misses > quickAsks {
				// A sighting schedules it at once; this is for a device that answers and is never sighted.
				wait = jitter(min(time.Minute<<min(m.misses, 6), r.o.Recheck))
			}
		case home.Pending:
			wait = jitter(time.Minute)
		case home.Waiting:
			wait = max(v.Until.Sub(now), time.Minute)
		case home.LockedOut:
			wait = min(max(v.Until.Sub(now), time.Minute), home.GreetTime)
		}
		r.schedule(t.device.ID, now.Add(wait))
	})
}

// quickAsks is how often a bound device that was sighted lately is asked again within seconds: after 1, 2, 4 and 8. It
// may be restarting. While other devices wait for a slot, they come first.
const quickAsks = 4

// glanceSpread keeps devices that were moved together from being probed together again.
const glanceSpread = 30 * time.Second

// postpone schedules the next try after one that did not bring the device to the newest epoch: after two seconds at
// first, then longer each time, up to an hour. The ledger counts the tries. Those that it could not record, and those
// of a device that is not bound, are counted in memory: pauses also grow while the disk is full.
func (r *Rekeyer) postpone(ctx context.Context, t task, step string, err error) {
	id := t.device.ID
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // the daemon ends: the intent, where there is one, is on disk
		return
	case errors.Is(err, errAlias),
		errors.Is(err, home.ErrNotFound): // the device goes by another ID, or was unbound meanwhile
		return
	}
	tries := t.subject.Binding.Tries
	r.with(id, func(m *memory) { tries += m.unrecorded })
	pause := jitter(min(4*time.Second<<min(tries, 12), time.Hour))
	if errors.Is(err, home.ErrBusy) {
		pause = time.Second
	}
	r.o.Log.Warn("device not rekeyed", "device", id, "step", step, "err", err, "pause", pause)
	next := time.Now().Add(pause)
	recorded := false
	if t.subject.Bound() {
		perr := r.o.Ledger.Postpone(id, next.UTC().Round(0))
		if recorded = perr == nil; perr != nil && !errors.Is(perr, home.ErrNotFound) {
			r.o.Log.Error("pause not recorded", "device", id, "err", perr)
		}
	}
	r.with(id, func(m *memory) {
		if m.unrecorded++; recorded {
			m.unrecorded = 0
		}
		if step == "rekey" || errors.Is(err, home.ErrBudget) {
			m.trouble = err
		}
		r.schedule(id, next)
	})
	r.reports.add(id)
}
