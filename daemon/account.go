package daemon

import (
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// start schedules the bound devices. Those with an intent come first: a crash interrupted their moves, and
// only a probe shows what they hold.
func (r *Rekeyer) start() error {
	h, err := r.o.Ledger.House()
	if err != nil {
		return err
	}
	r.adopt(h)
	r.mu.Lock()
	defer r.mu.Unlock()
	waits := map[home.DeviceID]bool{}
	for _, b := range h.Bindings {
		waits[b.Device] = b.Verdict.State.Waits() && b.Due(time.Now()).After(time.Now())
	}
	for _, i := range h.Intents {
		if !waits[i.Device] {
			r.schedule(i.Device, time.Time{}) // before every other time
		}
	}
	return nil
}

// reload adopts a change of the account or of the bindings, and returns the house as it was read.
func (r *Rekeyer) reload() (home.House, error) {
	h, err := r.o.Ledger.House()
	if err == nil {
		r.adopt(h)
	}
	return h, err
}

// adopt passes the bound devices to the roster, and schedules those that are not current or may revert.
func (r *Rekeyer) adopt(h home.House) {
	r.o.Roster.Bind(h.Devices)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rebind(h.Bindings)
	for _, b := range h.Bindings {
		r.remember(b.Device)
		if !b.Current(h.Account.Epoch) {
			r.schedule(b.Device, b.Due(now))
		} else if at, ok := b.Glance(now); ok {
			r.schedule(b.Device, later(now, at))
		}
	}
}

// rebind replaces the set of bound devices, and moves each device to its schedule; r.mu is held.
func (r *Rekeyer) rebind(bindings []home.Binding) {
	before := r.isBound
	r.isBound = make(map[home.DeviceID]bool, len(bindings))
	for _, b := range bindings {
		r.isBound[b.Device] = true
		if at, ok := r.unbound.remove(b.Device); ok {
			r.due.add(b.Device, at)
		}
	}
	for id := range before {
		if r.isBound[id] {
			continue
		}
		if at, ok := r.due.remove(id); ok {
			r.schedule(id, at)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// AccountChanged informs the engine that the account on disk has changed, by a new epoch for example.
func (r *Rekeyer) AccountChanged() {
	h, err := r.reload()
	if err != nil {
		r.o.Log.Error("ledger not read", "err", err)
		return
	}
	r.mu.Lock()
	ids := make([]home.DeviceID, 0, len(r.memories))
	for id, m := range r.memories {
		m.unrecorded = 0
		ids = append(ids, id)
	}
	r.mu.Unlock()
	r.probeUnbound(h)
	r.reports.add(ids...)
}

// SignedIn informs the engine that the sign-in of these devices to the account is on disk.
func (r *Rekeyer) SignedIn(ids []home.DeviceID) { r.reports.add(ids...) }

// probeUnbound schedules the devices that are here and not bound: what they hold depends on the account. Bound ones
// are scheduled by adopt.
func (r *Rekeyer) probeUnbound(h home.House) {
	bound := map[home.DeviceID]bool{}
	for _, b := range h.Bindings {
		bound[b.Device] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.memories {
		if !bound[id] && m.left.IsZero() {
			r.schedule(id, time.Now())
		}
	}
}
