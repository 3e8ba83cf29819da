package smart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reboot has a device restart a second after it has answered. That clients of such devices know the command is all that is known of it.
const reboot = `{"method":"device_reboot","params":{"delay":1}}`

// Restart has the device switch itself off and on. Some sign in to their cloud anew then, and have what it knows.
func (d *Driver) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	raw, err := d.Talk(ctx, dev, c, []byte(reboot))
	return restarted(raw, err)
}

// Restart is Driver's.
func (d *AES) Restart(ctx context.Context, dev home.Device, c home.Candidates) error {
	raw, err := d.Talk(ctx, dev, c, []byte(reboot))
	return restarted(raw, err)
}

func restarted(raw []byte, err error) error {
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	var a struct {
		Code *int `json:"error_code"`
	}
	if json.Unmarshal(raw, &a) != nil || a.Code == nil {
		return errors.New("restart: no answer of this protocol")
	}
	if *a.Code != 0 {
		return fmt.Errorf("restart: code %d: %w", *a.Code, home.ErrRefused)
	}
	return nil
}
