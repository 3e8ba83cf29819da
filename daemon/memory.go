package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// memory is what the engine knows of a device and neither ledger nor roster does. It is lost at the end of the process,
// and a first probe brings it back.
type memory struct {
	busy    bool            // a job or a caller works on the device: one at a time
	waiting []chan struct{} // callers in the order in which they came; the first gets the device next
	repeat  bool            // due again when it is free

	verdict  home.Verdict // of the last probe; for a bound device the binding's counts
	match    home.Match   // whose the device was at the last probe
	proved   bool         // at the last probe it proved that it holds a credential of the account
	since    time.Time    // when verdict last changed
	identity home.Device  // name, model and kind that the device gave its driver

	answered bool // at a probe in this run

	addr netip.Addr // of the last sighting or job; an unbound device is scheduled there

	misses     int       // probes in a row without an answer
	missed     time.Time // time of the last of them
	nudges     int       // in a row
	left       time.Time // when the device left the network; zero while it is here
	unrecorded int       // failed tries in a row that the ledger could not record
	trouble    error     // why the last try to move the device failed; nil once it is current
	restart    bool      // its owner wants a restart where it cannot be moved
	try        bool      // its owner ordered a move by commands that it may not accept
}

// remember returns the memory of a device, a new one where there is none; r.mu is held.
func (r *Rekeyer) remember(id home.DeviceID) *memory {
	m, ok := r.memories[id]
	if !ok {
		m = &memory{match: home.Unknown}
		r.memories[id] = m
	}
	return m
}

// with changes the memory of a device, where there is one.
func (r *Rekeyer) with(id home.DeviceID, change func(*memory)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.memories[id]; m != nil {
		change(m)
	}
}

// acquire waits until no job and no other caller works on the device, and keeps them away until release. It returns
// home.ErrNotFound, or home.ErrBusy when ctx ends first.
func (r *Rekeyer) acquire(ctx context.Context, id home.DeviceID) error {
	r.mu.Lock()
	m := r.memories[id]
	switch {
	case m == nil:
		r.mu.Unlock()
		return home.ErrNotFound
	case !m.busy:
		m.busy = true
		r.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	m.waiting = append(m.waiting, turn)
	r.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	i := slices.Index(m.waiting, turn)
	if i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
	}
	r.mu.Unlock()
	if i < 0 { // its turn came at the same moment
		r.release(id)
	}
	return home.ErrBusy
}

// release passes the device to the caller that waits longest, or makes it free.
func (r *Rekeyer) release(id home.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memories[id]
	if len(m.waiting) > 0 {
		close(m.waiting[0])
		m.waiting = slices.Delete(m.waiting, 0, 1)
		return
	}
	m.busy = false
	if m.repeat {
		m.repeat = false
		r.schedule(id, time.Now())
	}
}
