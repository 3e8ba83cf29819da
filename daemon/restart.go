package daemon

import (
	"context"
	"time"
)

// restartTime is the pause before the probe of a device that was restarted: it has to start, and to reach its cloud.
const restartTime = 2 * time.Minute

// restartOnce restarts a device that could not be moved, once, where its owner has ordered that.
func (r *Rekeyer) restartOnce(ctx context.Context, t task) {
	id := t.device.ID
	driver, can := t.driver.(Restarter)
	ordered := false
	r.with(id, func(m *memory) { ordered, m.restart = m.restart, false })
	if !ordered || !can {
		return
	}
	if err := driver.Restart(ctx, t.device, t.candidates()); err != nil {
		r.o.Log.Warn("device not restarted", "device", id, "err", err)
		return
	}
	r.o.Log.Info("device restarted", "device", id)
	r.with(id, func(*memory) { r.schedule(id, time.Now().Add(jitter(2*restartTime))) })
}
