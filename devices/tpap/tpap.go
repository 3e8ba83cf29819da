// Package tpap is the driver for devices whose firmware speaks TPAP only. Facts and sources: devices/PROTOCOLS.md, section 11. It was never
// tried on a device.
//
// It recognises such devices and says what their owner can do: the firmware speaks an older protocol, too, once Third-Party Compatibility
// is on. Which credential one holds cannot be compared offline: a sign-in tries one password, and the device counts it. So none is tried.
package tpap

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are the options of New. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one request and its answer; 5 s when zero
}

// Driver speaks to devices. It is safe for use by several goroutines.
type Driver struct{ o Options }

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Timeout < 0 {
		return nil, errors.New("tpap: timeout is not negative")
	}
	return &Driver{o}, nil
}

// discover asks a device how one signs in, and begins no sign-in.
const discover = `{"method":"login","params":{"sub_method":"discover"}}`

// plainPort is the port of devices that speak HTTP without TLS.
const plainPort = 80

// Probe asks the device for its hardware address.
func (d *Driver) Probe(ctx context.Context, dev home.Device, _ home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	p, err := d.identify(ctx, dev)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = p.Describe(dev)
	const detail = "its firmware speaks TPAP only, and lets no other program in"
	f.Verdict = home.Verdict{State: home.ThirdPartyOff, Detail: detail}
	return f, nil
}

// Rekey refuses: no command is known that gives such a device a password.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, _ home.Move) error {
	if ctx.Err() != nil {
		return failure.Unreachable(ctx.Err())
	}
	return failure.Rekey(dev.ID, failure.ErrThirdParty)
}

// identify asks the device for its hardware address. It returns failure.ErrOtherDevice where another one answers.
func (d *Driver) identify(ctx context.Context, dev home.Device) (nameplate.Plate, error) {
	// Which TLS suites such devices want is not known: those of cameras include Go's own for all but the oldest.
	o := post.Options{TLS: dev.Addr.Port() != plainPort, Suites: post.CameraSuites(), Timeout: d.o.Timeout}
	c := post.New(dev.Addr, o)
	defer c.Close()
	a, err := c.Send(ctx, "/", http.Header{"Content-Type": {"application/json"}}, []byte(discover))
	if err != nil {
		return nameplate.Plate{}, err
	}
	if a.Status != http.StatusOK {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	p, err := parsePlate(a.Body)
	if err == nil && !p.Names(dev) {
		err = failure.ErrOtherDevice
	}
	return p, err
}

// parsePlate reads the answer to discover. The code of the answer does not matter: which one a device gives together with its data is not
// known.
func parsePlate(raw []byte) (nameplate.Plate, error) {
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			MAC  string          `json:"mac"`
			TPAP json.RawMessage `json:"tpap"`
		} `json:"result"`
	}
	err := json.Unmarshal(raw, &got)
	if err != nil || got.Code == nil || len(got.Result.TPAP) == 0 || got.Result.TPAP[0] != '{' {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	mac := nameplate.MAC(got.Result.MAC)
	if mac == "" {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	return nameplate.New(mac, "", "", home.Other), nil
}
