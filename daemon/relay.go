package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Talker is a driver that can pass on what an app says to a device. The request is the protocol's own, and so is the answer. It returns
// home.ErrUnreachable, or ErrNotOpened where the device takes none of the account's credentials.
type Talker interface {
	Talk(ctx context.Context, d home.Device, c home.Candidates, request []byte) ([]byte, error)
}

// Relay passes an app's request on to a device that is bound, and returns its answer. While the device is being rekeyed it waits: nobody
// else speaks to it then. It returns home.ErrNotFound for a device that is not bound here, ErrForeign, ErrUnreachable, ErrBusy, or
// errors.ErrUnsupported where the device's driver cannot do it.
func (r *Rekeyer) Relay(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
	d, c, err := r.borrow(ctx, id)
	if err == nil {
		defer r.release(id)
		err = r.mayRelay(id)
	}
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", id, err)
	}
	t, ok := r.o.Drivers[d.Protocol].(Talker)
	if !ok {
		return nil, fmt.Errorf("relay to %s: %w", id, errors.ErrUnsupported)
	}
	said, err := t.Talk(ctx, d, c, request)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", id, err)
	}
	return said, nil
}

// mayRelay tells why nothing is passed on to a device.
func (r *Rekeyer) mayRelay(id home.DeviceID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch w := r.rows[id]; {
	case w == nil || !w.bound:
		return home.ErrNotFound
	case w.match == home.Foreign:
		return home.ErrForeign
	case !w.device.Addr.IsValid():
		return home.ErrUnreachable
	}
	return nil
}

// borrow waits until nobody works on a device, and keeps others from it until it is released.
func (r *Rekeyer) borrow(ctx context.Context, id home.DeviceID) (home.Device, home.Candidates, error) {
	for {
		r.mu.Lock()
		w := r.rows[id]
		switch {
		case w == nil:
			r.mu.Unlock()
			return home.Device{}, home.Candidates{}, home.ErrNotFound
		case !w.busy:
			w.busy = true
			d, c := w.device, home.Candidates{Account: r.account, Credentials: r.creds, Recorded: w.binding.DeviceEpoch}
			r.mu.Unlock()
			return d, c, nil
		}
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return home.Device{}, home.Candidates{}, home.ErrBusy
		case <-time.After(20 * time.Millisecond):
		}
	}
}
