package iot

import (
	"context"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// reboot has a device restart a second after its answer.
var reboot = map[string]int{"delay": 1}

// Restart has the device restart. Some devices sign in to their cloud again then, and take over the credential that it
// knows.
func (d *Driver) Restart(ctx context.Context, dev home.Device, _ home.Candidates) error {
	c := d.connect(dev)
	defer c.close()
	if _, err := c.identify(ctx); err != nil {
		return err
	}
	r, err := c.command(ctx, "system", "reboot", reboot, d.o.Timeout)
	return commandError("restart", r, err, home.Move{})
}

// Restart is Driver.Restart inside KLAP.
func (d *KLAP) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	conn := d.connect(dev, d.o.Timeout)
	defer conn.Close()
	if _, err := conn.signIn(ctx, keyring.Candidates(c)); err != nil {
		return err
	}
	if _, err := conn.identify(ctx); err != nil {
		return err
	}
	_, r, err := conn.command(ctx, "system", "reboot", reboot)
	d.located.Set(dev.ID, location{}) // another device may answer there next
	return commandError("restart", r, err, home.Move{})
}
