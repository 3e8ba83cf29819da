package tplink

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// name returns the owner's name of a device, or its model where the owner has given none. Tapo devices' names come in
// base64, Kasa's do not (cloudlink/account/FACTS.md, section 2.2).
func name(typ, alias, kind, model string) string {
	if typ = strings.ToUpper(typ); strings.Contains(typ, "TAPO") || strings.HasPrefix(typ, "SMART.") {
		if raw, err := base64.StdEncoding.DecodeString(alias); err == nil && utf8.Valid(raw) {
			alias = string(raw)
		}
	}
	for _, n := range []string{alias, kind, model} {
		if n = printable(n); n != "" {
			return n
		}
	}
	return ""
}

// maxName is how much of a name is kept, in bytes.
const maxName = 120

// printable removes from a text of the cloud what could control a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return strings.TrimSpace(s)
}
