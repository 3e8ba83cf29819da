package tplink

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// name is what the owner calls a device. Tapo devices' names come in base64, Kasa's do not (account.md, 2): one that decodes to readable text
// of some length and would not be a word by itself is taken for base64.
func name(alias, kind, model string) string {
	for _, n := range []string{decoded(alias), kind, model} {
		if n = printable(n); n != "" {
			return n
		}
	}
	return ""
}

func decoded(alias string) string {
	raw, err := base64.StdEncoding.DecodeString(alias)
	if err != nil || len(raw) == 0 || !utf8.Valid(raw) || strings.ContainsFunc(string(raw), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return alias
	}
	return string(raw)
}

// maxName is how much of a name is kept, in bytes.
const maxName = 120

// printable keeps what a cloud says from steering a terminal.
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
