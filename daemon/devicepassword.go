package daemon

import (
	"errors"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// OpenWith keeps the password of a bound device's own, which its owner gave, and probes the device. Devices of other
// protocols have none. A device that is not bound is home.ErrNotFound.
func (r *Rekeyer) OpenWith(id home.DeviceID, password home.Secret) error {
	const op = "keep the device's password"
	d, ok := r.o.Roster.Device(id)
	switch {
	case !ok:
		return notFound(op, id)
	case !d.Protocol.Info().OwnLogin:
		return &home.Error{Op: op, Device: id, Err: errors.New("it has no password but the account's")}
	case password.IsZero() || len(password.Reveal()) > maxDevicePassword:
		return &home.Error{Op: op, Device: id, Err: errors.New("it is empty or too long")}
	}
	if err := r.o.Ledger.SetDevicePassword(id, password); err != nil {
		return err
	}
	r.reports.add(id)
	return r.restartTries([]home.DeviceID{id}, true, false)
}

// maxDevicePassword is the longest password of a device's own, in bytes.
const maxDevicePassword = 64
