package iot

import (
	"context"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// reboot has a device restart a second after it has answered, if it does.
var reboot = map[string]int{"delay": 1}

// Restart has the device switch itself off and on. Some sign in to their cloud anew then, and have what it knows.
func (d *Driver) Restart(ctx context.Context, dev home.Device, _ home.Candidates) error {
	t := d.talk(dev)
	defer t.close()
	s, err := t.ask(ctx)
	switch {
	case err != nil:
		return err
	case !s.is(dev):
		return fmt.Errorf("%w: %w", home.ErrUnreachable, errAnother)
	}
	r, err := t.command(ctx, "system", "reboot", reboot, d.o.Timeout)
	return outcome("restart", r, err, home.Move{})
}

// Restart is Driver's, behind KLAP.
func (d *KLAP) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	t := d.open(dev, d.o.Timeout)
	defer t.Close()
	if _, err := t.enter(ctx, keyring.Of(c)); err != nil {
		return err
	}
	if _, err := t.ask(ctx); err != nil {
		return err
	}
	_, r, err := t.command(ctx, "system", "reboot", reboot, nil)
	d.mu.Lock()
	d.known[dev.ID] = place{when: time.Time{}} // who answers there next may be another
	d.mu.Unlock()
	return outcome("restart", r, err, home.Move{})
}
