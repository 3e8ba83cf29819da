package daemon

import (
	"cmp"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// see takes sightings in. It schedules devices that are new, back, at another address, or failed to answer when they
// were last probed; others have not changed.
func (r *Rekeyer) see(sightings []home.Sighting) {
	changed := r.o.Roster.See(sightings)
	r.rescheduleReturned()
	if len(changed) == 0 {
		return
	}
	now := time.Now()
	ids := make([]home.DeviceID, len(changed))
	for i, d := range changed {
		ids[i] = d.ID
		here := r.o.Roster.Here(d.ID)
		b, err := r.o.Ledger.Binding(d.ID)
		bound := !errors.Is(err, home.ErrNotFound) // also where the ledger cannot be read now
		r.mu.Lock()
		m := r.remember(d.ID)
		m.misses, m.addr = 0, d.Addr.Addr()
		if here {
			m.left = time.Time{}
		} else if m.left.IsZero() {
			m.left = now
		}
		if m.since.IsZero() {
			m.since = now.UTC().Round(0)
		}
		at := now
		if b.Verdict.State.Waits() {
			at = b.Due(now) // anyone on the LAN can announce anything: a sighting does not end it
		}
		if bound || here {
			r.schedule(d.ID, at)
		}
		changed[i].Name = cmp.Or(m.identity.Name, d.Name)
		r.mu.Unlock()
	}
	r.sweep(now)
	r.reports.add(ids...)
	r.save(changed)
}

// rescheduleReturned schedules a probe for every device that failed to answer and has been sighted since.
func (r *Rekeyer) rescheduleReturned() {
	r.mu.Lock()
	missed := map[home.DeviceID]time.Time{}
	for id, m := range r.memories {
		if m.misses > 0 && !m.busy {
			missed[id] = m.missed
		}
	}
	r.mu.Unlock()
	now := time.Now()
	for id, since := range missed {
		d, ok := r.o.Roster.Device(id)
		if !ok || !d.Seen.After(since) || !r.o.Roster.Here(id) {
			continue
		}
		r.with(id, func(m *memory) {
			if m.missed.Equal(since) {
				m.missed = now // once a sighting
				r.schedule(id, now)
			}
		})
	}
}

const (
	goneTime    = time.Hour // how long a device that left, and is not bound, is still shown
	manyDevices = 4096      // above it, a device that leaves is forgotten at once: anyone can announce anything
)

// sweep forgets devices that are not bound and have left, or have another ID now.
func (r *Rekeyer) sweep(now time.Time) {
	r.mu.Lock()
	many := len(r.memories) > manyDevices
	if now.Sub(r.swept) < time.Minute && !many {
		r.mu.Unlock()
		return
	}
	r.swept = now
	var left []home.DeviceID
	for id, m := range r.memories {
		d, ok := r.o.Roster.Device(id)
		if !m.busy && (!ok || d.ID != id || !m.left.IsZero() && (many || now.Sub(m.left) > goneTime)) {
			left = append(left, id)
		}
	}
	r.mu.Unlock()
	for _, id := range left {
		if _, err := r.o.Ledger.Binding(id); !errors.Is(err, home.ErrNotFound) {
			continue
		}
		r.mu.Lock()
		if m := r.memories[id]; m != nil && !m.busy {
			delete(r.memories, id)
			r.due.remove(id)
			r.unbound.remove(id)
			r.reports.add(id) // its row is dropped
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if full := len(r.memories) > manyDevices; full != r.full {
		if r.full = full; full {
			r.o.Log.Warn("more devices are announced than a house has", "devices", len(r.memories))
		}
	}
}
