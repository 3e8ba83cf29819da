package discover

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// class is a rule by which a reply is recognised as one of a protocol.
type class struct {
	protocol home.Protocol // empty for devices that no driver speaks to
	matches  func(*tapoReply) bool
}

// classes is never changed (devices/PROTOCOLS.md, section 3.1). The first rule that matches counts.
var classes = []class{
	{home.KasaCam, func(r *tapoReply) bool { return r.iot() && r.camera() }},
	{home.TPAP, func(r *tapoReply) bool { return r.encrypt() == "TPAP" || r.encrypt() == "" && r.offers("4") }},
	{home.TapoCam, func(r *tapoReply) bool { return r.encrypt() == "" && (r.offers("3") || r.offers("2") || r.camera()) }},
	{"", func(r *tapoReply) bool { return r.Scheme.HTTPS }}, // KLAP and AES over TLS: robot vacuum cleaners
	{home.IOTKLAP2, func(r *tapoReply) bool {
		return r.encrypt() == "KLAP" && r.iot() && (r.Scheme.Level >= 2 || isTrue(r.Scheme.NewKLAP))
	}},
	{home.KLAP1, func(r *tapoReply) bool { return r.encrypt() == "KLAP" && r.iot() }},
	{home.KLAP2, func(r *tapoReply) bool { return r.encrypt() == "KLAP" }},
	{home.SmartAES, func(r *tapoReply) bool { return r.encrypt() == "AES" && !r.iot() }},
}

func (r *tapoReply) encrypt() string { return strings.ToUpper(r.Scheme.Encrypt) }

func (r *tapoReply) iot() bool { return strings.HasPrefix(r.Type, "IOT.") }

func (r *tapoReply) camera() bool {
	return strings.Contains(r.Type, "IPCAMERA") || strings.Contains(r.Type, "DOORBELL")
}

// offers reports whether a camera lists a kind of sign-in.
func (r *tapoReply) offers(kind string) bool { return slices.Contains(r.Encrypt, kind) }

// protocol returns the protocol of a device, empty for a device that no driver speaks to.
func (r *tapoReply) protocol() home.Protocol {
	for _, c := range classes {
		if c.matches(r) {
			return c.protocol
		}
	}
	return ""
}

// port returns the port that the device announces, or the default one of its protocol. Kasa cameras announce that of
// their HTTP server.
func (r *tapoReply) port(p home.Protocol) uint16 {
	if p == home.TPAP {
		return r.tpapPort()
	}
	if r.Scheme.Port != 0 && p != "" && p != home.KasaCam {
		return r.Scheme.Port
	}
	return p.Port()
}

// tpapPort returns the port of a device that speaks TPAP: devices/PROTOCOLS.md, section 11.1.
func (r *tapoReply) tpapPort() uint16 {
	switch {
	case r.TPAP.Port != 0:
		return r.TPAP.Port
	case r.Scheme.Port != 0:
		return r.Scheme.Port
	case r.camera():
		return 443
	case r.TPAP.TLS != 0 || r.Scheme.HTTPS:
		return 4433
	}
	return 80
}

func isTrue(raw json.RawMessage) bool { return string(raw) == "1" || string(raw) == "true" }

// tapoKind returns the kind of a device by its type, or by its model where the type is not enough.
func tapoKind(typ, model string) home.Kind {
	typ, model = strings.ToUpper(typ), strings.ToUpper(model)
	switch {
	case strings.Contains(typ, "HUB"), strings.Contains(typ, "CHIME"), strings.Contains(typ, "VACUUM"),
		strings.Contains(typ, "SENSOR"):
		return home.Other
	case strings.Contains(typ, "CAMERA"), strings.Contains(typ, "DOORBELL"):
		return home.Camera
	case strings.Contains(typ, "BULB"), strings.Contains(typ, "LIGHT"):
		return home.Bulb
	case strings.Contains(typ, "PLUGSWITCH"):
		if nameplate.IsSwitch(model) {
			return home.Switch
		}
		return home.Plug
	case strings.Contains(typ, "SWITCH"):
		return home.Switch
	case strings.Contains(typ, "PLUG"):
		return home.Plug
	}
	return home.Other
}

// emptyOwner is the owner that some devices without an owner state: the MD5 of nothing.
const emptyOwner = "d41d8cd98f00b204e9800998ecf8427e"

// owner returns the owner that the device states, in the form of home.Device.Owner.
func (r *tapoReply) owner() string {
	if r.Factory {
		return home.NoOwner
	}
	if r.Owner == nil {
		return "" // not stated, or encrypted
	}
	switch o := strings.ToLower(*r.Owner); {
	case o == "", o == emptyOwner:
		return home.NoOwner
	case nameplate.Digits(o, 32) == o:
		return o
	}
	return ""
}

// reveal adds what a camera had hidden.
func (r *tapoReply) reveal(raw []byte, fields map[string]json.RawMessage) {
	var more map[string]json.RawMessage
	if json.Unmarshal(raw, &more) != nil {
		return
	}
	var owner string
	if json.Unmarshal(more["owner"], &owner) == nil {
		r.Owner = &owner
	}
	if r.Scheme.Port == 0 {
		_ = json.Unmarshal(more["http_port"], &r.Scheme.Port)
	}
	for name, v := range more {
		if _, has := fields[name]; !has {
			fields[name] = v
		}
	}
}

// sighting returns the sighting of the device. The caller fills in the address.
func (r *tapoReply) sighting(fields map[string]json.RawMessage) (home.Sighting, error) {
	s := home.Sighting{
		Source: "tapo-udp", Match: home.Unknown, Model: nameplate.Text(r.Model), Kind: tapoKind(r.Type, r.Model),
		Name: nameplate.Text(r.Name), Owner: r.owner(), Extra: extra(fields),
	}
	s.Protocol = r.protocol()
	s.Addr = netip.AddrPortFrom(netip.Addr{}, r.port(s.Protocol))
	if s.Owner == home.NoOwner {
		s.Match = home.Unbound
	}
	addMAC(&s, r.MAC)
	if len(s.Keys) == 0 {
		return home.Sighting{}, errNoReply
	}
	return s, nil
}

// Bounds of the fields of a reply that are kept unread.
const (
	maxExtra      = 2 << 10 // bytes
	maxExtraNames = 32
)

// extra returns an object of the unread fields, in the order of their names, as many as there is room for.
func extra(fields map[string]json.RawMessage) home.JSON {
	kept := map[string]json.RawMessage{}
	room := maxExtra - 2
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		size := len(name) + len(fields[name]) + 4
		if unshown[name] || len(kept) == maxExtraNames || size > room || len(name) > 64 || nameplate.Text(name) != name {
			continue
		}
		room -= size
		kept[name] = fields[name]
	}
	raw, err := json.Marshal(kept) // compact, and with < > & escaped
	if err != nil || len(kept) == 0 || len(raw) > maxExtra {
		return ""
	}
	return home.JSON(raw)
}
