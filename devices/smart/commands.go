package smart

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

var errAnswer = errors.New("no answer of this protocol")

// asker carries a request to a device that one is signed in to, and its answer back, both in the clear: a transport.
type asker interface {
	Ask(ctx context.Context, request []byte) ([]byte, error)
}

// command runs one SMART command and returns its result and its code, 0 for success.
func command(ctx context.Context, l asker, method string, params any) (result json.RawMessage, code int, err error) {
	request, err := json.Marshal(struct {
		Method string `json:"method"`
		Params any    `json:"params,omitempty"`
	}{method, params})
	if err != nil {
		return nil, 0, fmt.Errorf("%s: a request that cannot be written", method)
	}
	raw, err := l.Ask(ctx, request)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", method, err)
	}
	var a struct {
		Code   *int            `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(raw, &a) != nil || a.Code == nil {
		return nil, 0, fmt.Errorf("%s: %w: %w", method, home.ErrUnreachable, errAnswer)
	}
	return a.Result, *a.Code, nil
}

// identity is what a device says of itself.
type identity struct {
	mac, model, name, kind string
}

func askIdentity(ctx context.Context, l asker) (identity, error) {
	raw, code, err := command(ctx, l, "get_device_info", nil)
	if err != nil {
		return identity{}, err
	}
	who, err := parseIdentity(raw)
	if code != 0 || err != nil {
		return identity{}, fmt.Errorf("get_device_info: code %d: %w: %w", code, home.ErrUnreachable, errAnswer)
	}
	return who, nil
}

func parseIdentity(raw []byte) (identity, error) {
	var i struct{ Type, Model, Mac, Nickname string }
	if json.Unmarshal(raw, &i) != nil {
		return identity{}, errAnswer
	}
	who := identity{mac: strings.ToLower(strings.NewReplacer("-", "", ":", "").Replace(i.Mac)), model: text(i.Model), kind: i.Type}
	if len(who.mac) != 12 || strings.Trim(who.mac, "0123456789abcdef") != "" {
		return identity{}, errAnswer
	}
	if name, err := base64.StdEncoding.DecodeString(i.Nickname); err == nil {
		who.name = text(string(name))
	}
	return who, nil
}

// text is s if it is short and can be shown, else nothing.
func text(s string) string {
	if len(s) > 64 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// is tells whether this is the device that is meant: its hardware address is among those under which the device is known.
func (i identity) is(dev home.Device) bool {
	return string(dev.ID) == "mac-"+i.mac || slices.Contains(dev.Keys, "mac:"+i.mac)
}

// describe is dev with what it says of itself.
func (i identity) describe(dev home.Device) home.Device {
	if i.model != "" {
		dev.Model = i.model
	}
	if i.name != "" {
		dev.Name = i.name
	}
	switch {
	case strings.Contains(i.kind, "PLUG"):
		dev.Kind = home.Plug
	case strings.Contains(i.kind, "SWITCH"):
		dev.Kind = home.Switch
	case strings.Contains(i.kind, "BULB"):
		dev.Kind = home.Bulb
	}
	return dev
}
