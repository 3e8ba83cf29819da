package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Relay passes an app's request to a bound device, and returns its answer. It waits while a job works on the device.
// Errors are home.ErrNotFound for a device that is not bound here, ErrForeign, ErrUnreachable, ErrBusy, and
// errors.ErrUnsupported where the device's driver cannot do it.
func (r *Rekeyer) Relay(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
	answer, err := r.relay(ctx, id, request)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", id, err)
	}
	return answer, nil
}

// relay is Relay without the wrapping of errors.
func (r *Rekeyer) relay(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
	if err := r.acquire(ctx, id); err != nil {
		return nil, err
	}
	defer r.release(id)
	t, err := r.task(id)
	if err != nil {
		return nil, err
	}
	foreign := false
	r.with(id, func(m *memory) { foreign = m.match == home.Foreign })
	switch {
	case !t.subject.Bound():
		return nil, home.ErrNotFound
	case foreign:
		return nil, home.ErrForeign
	case !t.device.Addr.IsValid():
		return nil, home.ErrUnreachable
	}
	driver, ok := t.driver.(Relayer)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return driver.Relay(ctx, t.device, t.candidates(), request)
}
