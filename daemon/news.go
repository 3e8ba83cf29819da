package daemon

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What the engine hears: from the ledger, the network, and the link.

// load takes what the ledger knows: at start, and whenever the account or the bindings have changed under the engine.
func (r *Rekeyer) load() error {
	r.loading.Lock()
	defer r.loading.Unlock()
	r.mu.Lock()
	began := r.stamp
	r.mu.Unlock()
	a, err := r.o.Ledger.Account()
	if err != nil && !errors.Is(err, home.ErrNoAccount) {
		return err
	}
	creds, err := r.o.Ledger.Credentials(a.ID)
	if err != nil {
		return err
	}
	bindings, err := r.o.Ledger.Bindings()
	if err != nil {
		return err
	}
	devices, err := r.o.Ledger.Devices()
	if err != nil {
		return err
	}
	known := make(map[home.DeviceID]home.Device, len(devices))
	for _, d := range devices {
		known[d.ID] = d
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, w := range r.rows {
		if a.ID != r.account.ID {
			r.schedule(id, now) // whose it is depends on the account
		}
		if a.Epoch != r.account.Epoch {
			w.unrecorded = 0
		}
	}
	r.account, r.creds = a, creds
	left := maps.Clone(r.rows)
	for _, b := range bindings {
		w := r.row(b.Device)
		delete(left, b.Device)
		if d, ok := known[b.Device]; ok && w.device.Protocol == "" {
			w.device = d
		}
		if !w.bound || w.stamp <= began { // else what was recorded meanwhile is newer
			w.binding = b
		}
		w.bound = true
		if !b.Current(a.Epoch) {
			r.schedule(b.Device, later(now, b.Next))
		} else if at, ok := b.Glance(now); ok {
			r.schedule(b.Device, later(now, at))
		}
	}
	for _, w := range left {
		w.bound, w.binding = false, home.Binding{}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// see takes sightings in. A device that is new, or back, or at another address, or that gave no answer when it was last asked, is looked at;
// all others are not.
func (r *Rekeyer) see(sightings []home.Sighting) {
	changed := r.o.Roster.See(sightings)
	r.back()
	if len(changed) == 0 {
		return
	}
	var save []home.Device
	var seen []home.DeviceID
	now := time.Now()
	r.rename(changed)
	r.mu.Lock()
	for _, d := range changed {
		w := r.row(d.ID)
		if w.bound && (w.device.Addr != d.Addr || w.device.Name != d.Name || w.device.Protocol != d.Protocol) {
			save = append(save, d)
		}
		w.device, w.misses = d, 0
		switch here := r.o.Roster.Here(d.ID); {
		case here:
			w.left = time.Time{}
		case w.left.IsZero():
			w.left = now
		}
		if w.since.IsZero() {
			w.since = now.UTC().Round(0)
		}
		at := now
		if w.bound && w.binding.Verdict.State == home.LockedOut {
			at = later(now, w.binding.Next) // whoever is on the LAN can announce anything, and a lock is waited out
		}
		if w.bound || w.left.IsZero() {
			r.schedule(d.ID, at)
		}
		seen = append(seen, d.ID)
	}
	r.sweep(now)
	r.mu.Unlock()
	r.tell(seen)
	if len(save) > 0 {
		if err := r.o.Ledger.SaveDevices(save); err != nil {
			r.o.Log.Error("devices not saved", "err", err)
		}
	}
}

// back has devices looked at that gave no answer and were seen since.
func (r *Rekeyer) back() {
	r.mu.Lock()
	missed := map[home.DeviceID]time.Time{}
	for id, w := range r.rows {
		if w.misses > 0 && !w.busy {
			missed[id] = w.missed
		}
	}
	r.mu.Unlock()
	now := time.Now()
	for id, since := range missed {
		d, ok := r.o.Roster.Device(id)
		if !ok || !d.Seen.After(since) || !r.o.Roster.Here(id) {
			continue
		}
		r.mu.Lock()
		if w := r.rows[id]; w != nil && w.missed.Equal(since) {
			w.missed = now // once a sighting
			r.schedule(id, now)
		}
		r.mu.Unlock()
	}
}

const (
	goneTime = time.Hour // after which a device that left, and is not bound, is not shown any more
	manyRows = 4096      // past which it goes as soon as it leaves: whoever is on the LAN can announce anything
)

// sweep forgets devices that left and are nobody's here; r.mu is held.
func (r *Rekeyer) sweep(now time.Time) {
	if now.Sub(r.swept) < time.Minute && len(r.rows) <= manyRows {
		return
	}
	r.swept = now
	for id, w := range r.rows {
		if !w.bound && !w.busy && !w.left.IsZero() && (len(r.rows) > manyRows || now.Sub(w.left) > goneTime) {
			delete(r.rows, id)
		}
	}
	if full := len(r.rows) > manyRows; full != r.full {
		if r.full = full; full {
			r.o.Log.Warn("more devices are announced than a house has", "rows", len(r.rows))
		}
	}
}

// Began tells the engine that the account has a new epoch, or changed otherwise, and that it is on disk.
func (r *Rekeyer) Began(home.Epoch) {
	if err := r.load(); err != nil {
		r.o.Log.Error("ledger not read", "err", err)
		return
	}
	r.tellAll()
}

// SignedIn tells the engine that the account has confirmed the sign-in of devices, and that it is on disk.
func (r *Rekeyer) SignedIn(e home.Epoch, ids []home.DeviceID) {
	r.mu.Lock()
	for _, id := range ids {
		// The probe that saw the device hold the epoch may be on disk and not here yet: what is here takes the greater.
		if w := r.rows[id]; w != nil && w.bound {
			r.stamp++
			w.stamp = r.stamp
			w.binding.CloudEpoch = max(w.binding.CloudEpoch, e)
		}
	}
	r.mu.Unlock()
	r.tell(ids)
}

// rename follows devices that are known under a stronger identity now than when they were first seen: the row under the old name goes,
// and a binding under it moves.
func (r *Rekeyer) rename(changed []home.Device) {
	r.mu.Lock()
	fresh := slices.ContainsFunc(changed, func(d home.Device) bool { return r.rows[d.ID] == nil })
	old := map[home.DeviceID]bool{} // to whether it is bound
	if fresh {
		for id, w := range r.rows {
			old[id] = w.bound
		}
	}
	r.mu.Unlock()
	gone := map[home.DeviceID]home.DeviceID{} // to the new name
	moved := false
	for id, bound := range old {
		d, ok := r.o.Roster.Device(id)
		if !ok || d.ID == id {
			continue
		}
		if bound {
			if err := r.o.Ledger.RenameDevice(id, d.ID); err != nil {
				r.o.Log.Error("device not renamed", "device", id, "to", d.ID, "err", err)
				continue
			}
			moved = true
		}
		gone[id] = d.ID
	}
	r.mu.Lock()
	for id, to := range gone {
		w := r.rows[id]
		if delete(r.rows, id); w == nil || !w.busy {
			continue
		}
		// A job is under way: nobody else may work on the device until it has ended, and then it is looked at under its new name.
		heir := r.row(to)
		heir.busy, heir.again = true, true
		r.heirs[id] = to
	}
	r.mu.Unlock()
	if moved {
		r.o.Wake()
		if err := r.load(); err != nil {
			r.o.Log.Error("ledger not read", "err", err)
		}
	}
}
