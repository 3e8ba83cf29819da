package smart

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// exchanger carries a request to a device after a sign-in, and its answer back, both in clear text: a transport.
type exchanger interface {
	Exchange(ctx context.Context, request []byte) ([]byte, error)
}

// command runs one SMART command and returns its result and its code, 0 for success.
func command(
	ctx context.Context, x exchanger, method string, params any,
) (result json.RawMessage, code int, err error) {
	request, err := json.Marshal(struct {
		Method string `json:"method"`
		Params any    `json:"params,omitempty"`
	}{method, params})
	if err != nil {
		return nil, 0, fmt.Errorf("%s: the request cannot be encoded", method)
	}
	raw, err := x.Exchange(ctx, request)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", method, err)
	}
	result, code, err = parseAnswer(raw)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", method, err)
	}
	return result, code, nil
}

// parseAnswer reads result and code of a SMART answer. An answer without a code is none.
func parseAnswer(raw []byte) (result json.RawMessage, code int, err error) {
	var a struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(raw, &a) != nil || a.Code == nil {
		return nil, 0, failure.Unreachable(failure.ErrProtocol)
	}
	return a.Result, *a.Code, nil
}

// identify asks the device for its nameplate. It returns failure.ErrOtherDevice where another device than dev answers.
func identify(ctx context.Context, x exchanger, dev home.Device) (nameplate.Plate, error) {
	raw, code, err := command(ctx, x, "get_device_info", nil)
	if err != nil {
		return nameplate.Plate{}, err
	}
	p, err := parsePlate(raw)
	switch {
	case code != 0 || err != nil:
		err = failure.Unreachable(failure.ErrProtocol)
		return nameplate.Plate{}, fmt.Errorf("get_device_info: code %d: %w", code, err)
	case !p.Names(dev):
		return nameplate.Plate{}, failure.Unreachable(failure.ErrOtherDevice)
	}
	return p, nil
}

// parsePlate reads the answer to get_device_info (devices/PROTOCOLS.md, section 9.1). Without a usable hardware address
// it is no nameplate: failure.ErrProtocol.
func parsePlate(raw []byte) (nameplate.Plate, error) {
	var i struct{ Type, Model, Mac, Nickname string }
	if json.Unmarshal(raw, &i) != nil {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	mac := nameplate.MAC(i.Mac)
	if mac == "" {
		return nameplate.Plate{}, failure.ErrProtocol
	}
	kind := home.Other
	switch {
	case strings.Contains(i.Type, "PLUG"):
		kind = home.Plug
	case strings.Contains(i.Type, "SWITCH"):
		kind = home.Switch
	case strings.Contains(i.Type, "BULB"):
		kind = home.Bulb
	}
	name, err := base64.StdEncoding.DecodeString(i.Nickname)
	if err != nil {
		name = nil // not in base64: no name
	}
	return nameplate.New(mac, string(name), i.Model, kind), nil
}
