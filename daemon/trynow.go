package daemon

import (
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TryNow schedules a job for bound devices now; where ids is empty, for all that are not current. It is the weakest
// order, for whoever may only press a button: unlike Rekey it ends no lock-out or wait, restores no budget, resets no
// count of tries, and gives no consent. A device that is not bound is home.ErrNotFound.
func (r *Rekeyer) TryNow(ids []home.DeviceID) error {
	h, err := r.o.Ledger.House()
	if err != nil {
		return err
	}
	if err := r.bound("rekey", "see which devices are bound with: rekeyd status", ids); err != nil {
		return err
	}
	asked := make(map[home.DeviceID]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range h.Bindings {
		switch {
		case !asked[b.Device] && (len(ids) > 0 || b.Current(h.Account.Epoch)):
		case b.Verdict.State.Waits():
			r.schedule(b.Device, b.Next)
		default:
			r.schedule(b.Device, now)
		}
	}
	return nil
}
