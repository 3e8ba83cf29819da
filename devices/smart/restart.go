package smart

import (
	"context"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reboot has a device restart a second after its answer. Clients of such devices have the command; nothing else is
// known of it.
const reboot = `{"method":"device_reboot","params":{"delay":1}}`

// Restart has the device restart. Some devices sign in to their cloud again then, and take over the credential that it
// knows.
func (d *Driver) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	raw, err := d.Relay(ctx, dev, c, []byte(reboot))
	return restartError(raw, err)
}

// Restart is Driver.Restart.
func (d *AES) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	raw, err := d.Relay(ctx, dev, c, []byte(reboot))
	return restartError(raw, err)
}

// restartError returns the error of a restart: err, or home.ErrRefused for a code other than 0.
func restartError(raw []byte, err error) error {
	code := 0
	if err == nil {
		_, code, err = parseAnswer(raw)
	}
	switch {
	case err != nil:
		return fmt.Errorf("restart: %w", err)
	case code != 0:
		return fmt.Errorf("restart: code %d: %w", code, home.ErrRefused)
	}
	return nil
}
