package daemon

import (
	"context"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// restartTime is after how long a device that was restarted is looked at again: it has to start, and to speak to its cloud.
const restartTime = 2 * time.Minute

// restart restarts a device that could not be moved, once, where its owner has asked for that.
func (r *Rekeyer) restart(ctx context.Context, driver Driver, d home.Device, c home.Candidates) {
	s, can := driver.(Restarter)
	r.mu.Lock()
	w := r.rows[d.ID]
	wanted := w != nil && w.restart
	if wanted {
		w.restart = false
	}
	r.mu.Unlock()
	if !wanted || !can {
		return
	}
	if err := s.Restart(ctx, d, c); err != nil {
		r.o.Log.Warn("device not restarted", "device", d.ID, "err", err)
		return
	}
	r.o.Log.Info("device restarted", "device", d.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schedule(d.ID, time.Now().Add(jitter(2*restartTime)))
}
