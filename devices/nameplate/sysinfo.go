package nameplate

import (
	"cmp"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Sysinfo is the answer of a Kasa device to get_sysinfo (devices/PROTOCOLS.md, section 4.2). No field is certain to be
// there.
type Sysinfo struct {
	DeviceID string   `json:"deviceId"`
	MAC      string   `json:"mac"`
	MicMAC   string   `json:"mic_mac"` // of bulbs, in place of mac
	Type     string   `json:"type"`
	MicType  string   `json:"mic_type"` // of bulbs, in place of type
	Model    string   `json:"model"`
	DevName  string   `json:"dev_name"` // the maker's description
	Alias    string   `json:"alias"`
	Nested   *Sysinfo `json:"system"` // cameras nest the fields
}

// Plate returns the identity that the answer states. It has no keys where the answer states no usable one.
func (i Sysinfo) Plate() Plate {
	if i.Nested != nil {
		i = *i.Nested
	}
	p := Plate{Name: Text(i.Alias), Model: Text(i.Model), Kind: i.kind()}
	if mac := MAC(cmp.Or(i.MAC, i.MicMAC)); mac != "" {
		p.Keys = append(p.Keys, "mac:"+mac)
	}
	if id := Digits(i.DeviceID, 40); id != "" {
		p.Keys = append(p.Keys, "iot:"+strings.ToUpper(id))
	}
	return p
}

// kind distinguishes plugs and switches, which share a type, by the model or the maker's description.
func (i Sysinfo) kind() home.Kind {
	described := strings.ToLower(i.DevName)
	switch typ := strings.ToUpper(cmp.Or(i.Type, i.MicType)); {
	case strings.Contains(typ, "SMARTBULB"):
		return home.Bulb
	case strings.Contains(typ, "IPCAMERA"):
		return home.Camera
	case !strings.Contains(typ, "SMARTPLUGSWITCH"):
		return home.Other
	case IsSwitch(i.Model), strings.Contains(described, "switch") && !strings.Contains(described, "plug"):
		return home.Switch
	}
	return home.Plug
}

// IsSwitch reports whether a model of the Kasa line is a wall switch: HS2xx, KS2xx, ES2xx.
func IsSwitch(model string) bool {
	m := strings.ToUpper(model)
	return strings.HasPrefix(m, "HS2") || strings.HasPrefix(m, "KS2") || strings.HasPrefix(m, "ES2")
}
