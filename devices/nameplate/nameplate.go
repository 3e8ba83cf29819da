// Package nameplate reads a device's statement about itself: hardware address, name, model and kind. Every driver and
// discovery read it here, so that all of them agree which device answers. A nameplate is a statement and no proof.
package nameplate

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Plate is the identity that a device states. The zero Plate states nothing.
type Plate struct {
	Keys  []string // as in home.Device.Keys: "mac:50c7bf010203", "iot:8006…"
	Name  string   // made fit to print by Text, like Model
	Model string
	Kind  home.Kind // empty or home.Other where the device does not state it
}

// New returns a Plate with the hardware address mac, as MAC has it, and with texts as the device wrote them.
func New(mac, name, model string, kind home.Kind) Plate {
	return Plate{Keys: []string{"mac:" + mac}, Name: Text(name), Model: Text(model), Kind: kind}
}

// Names reports whether p states one of the identities of d, and none that contradicts d: a second one of the same
// class. The identity in the ID of d counts like one of its keys.
func (p Plate) Names(d home.Device) bool {
	known := d.Keys
	switch class, rest, _ := strings.Cut(string(d.ID), "-"); class {
	case "mac":
		known = append(slices.Clone(known), "mac:"+rest)
	case "iot":
		known = append(slices.Clone(known), "iot:"+strings.ToUpper(rest))
	}
	named := false
	for _, k := range p.Keys {
		class, _, _ := strings.Cut(k, ":")
		sameClass := func(other string) bool { return strings.HasPrefix(other, class+":") }
		switch {
		case slices.Contains(known, k):
			named = true
		case slices.ContainsFunc(known, sameClass):
			return false
		}
	}
	return named
}

// Describe returns d with the statements of p. A field that p leaves out stays as it was.
func (p Plate) Describe(d home.Device) home.Device {
	d.Keys = slices.Clone(d.Keys)
	for _, k := range p.Keys {
		if !slices.Contains(d.Keys, k) {
			d.Keys = append(d.Keys, k)
		}
	}
	d.Name, d.Model = cmp.Or(p.Name, d.Name), cmp.Or(p.Model, d.Model)
	if p.Kind != "" && p.Kind != home.Other || d.Kind == "" {
		d.Kind = cmp.Or(p.Kind, home.Other)
	}
	return d
}

// MAC returns the twelve lower-case digits of a hardware address in any usual form. It returns nothing for an address
// that no single device can have: all zero, or a group's.
func MAC(text string) string {
	mac := Digits(text, 12)
	if mac == "" || mac == "000000000000" {
		return ""
	}
	if b, err := hex.DecodeString(mac[:2]); err != nil || b[0]&1 != 0 {
		return ""
	}
	return mac
}

// Digits returns the n hexadecimal digits of text in lower case, without colons and hyphens, or nothing when text is
// not of that form.
func Digits(text string, n int) string {
	digits := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(text))
	if len(digits) != n || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return digits
}

// maxText is the longest text of a device that is kept, in bytes.
const maxText = 120

// Text makes a device's text fit for a terminal and a log: valid UTF-8 of at most 120 bytes, without control characters
// and without characters that change the direction or the line.
func Text(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) ||
			unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") // not half a letter
	}
	return strings.TrimSpace(s)
}
