package tplink

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// maxListed is how many devices of an account are looked at.
const maxListed = 4096

// Devices returns the account's devices. home.ErrCredential means that the token is taken no more.
func (c *Cloud) Devices(ctx context.Context, s home.CloudSession) ([]home.Listed, error) {
	at, err := c.allowed(s.URL)
	if err != nil {
		return nil, err
	}
	var out struct{ DeviceList []listed }
	if err := c.call(ctx, at, s.Token, "getDeviceList", struct{}{}, &out); err != nil {
		return nil, explain("list the account's devices", err)
	}
	if len(out.DeviceList) > maxListed {
		return nil, fmt.Errorf("list the account's devices: %d are more than an account has: %w", len(out.DeviceList), home.ErrUnavailable)
	}
	ds := make([]home.Listed, len(out.DeviceList))
	for i, l := range out.DeviceList {
		ds[i] = l.device()
	}
	return ds, nil
}

type listed struct {
	DeviceID, DeviceType, DeviceName, DeviceModel, DeviceMac, Alias string

	Status int
}

func (l listed) device() home.Listed {
	return home.Listed{
		ID: printable(l.DeviceID), MAC: hexMAC(l.DeviceMac), Name: printable(alias(l)), Model: printable(l.DeviceModel),
		Kind: kindOf(l.DeviceType), Online: l.Status == 1,
	}
}

// alias is what its owner calls a device. Tapo's come in base64, Kasa's do not.
func alias(l listed) string {
	t, m := strings.ToUpper(l.DeviceType), strings.TrimPrefix(l.DeviceModel, "Tapo ")
	// Tapo's models are a letter and digits, Kasa's begin with two letters.
	if strings.Contains(t, "TAPO") || strings.HasPrefix(t, "SMART.") || len(m) > 1 && m[1] >= '0' && m[1] <= '9' {
		if plain, err := base64.StdEncoding.DecodeString(l.Alias); err == nil && utf8.Valid(plain) {
			l.Alias = string(plain)
		}
	}
	if l.Alias == "" {
		return l.DeviceName
	}
	return l.Alias
}

// printable bounds a text of the cloud's, and keeps it from steering a terminal.
func printable(s string) string {
	if len(s) > 128 {
		s = s[:128]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}

// hexMAC takes a hardware address with any separators, or none.
func hexMAC(s string) string {
	s = strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.ToLower(s))
	if len(s) != 12 || strings.Trim(s, "0123456789abcdef") != "" || s == "000000000000" {
		return ""
	}
	return s
}

// kindOf reads the vendor's words for what a device is. "IOT.SMARTPLUGSWITCH" are plugs and wall switches alike; it counts as a plug.
func kindOf(t string) home.Kind {
	t = strings.ToUpper(t)
	for _, k := range []struct {
		word string
		kind home.Kind
	}{{"CAMERA", home.Camera}, {"IPC", home.Camera}, {"BULB", home.Bulb}, {"PLUG", home.Plug}, {"SWITCH", home.Switch}} {
		if strings.Contains(t, k.word) {
			return k.kind
		}
	}
	return home.Other
}
