package account

import (
	"regexp"
	"strings"
	"unicode"
)

// codePattern is a code from a mail as it is printed there: 26 symbols of base32 (RFC 4648), in groups of four.
var codePattern = regexp.MustCompile(`\b(?:[A-Z2-7]{4} ?-? ?){6}[A-Z2-7]{2}\b`)

// FindCode returns the code of a mail in a pasted text: the code in any letter case and grouping, the link, or a
// paragraph around either. Mail programs replace spaces and hyphens, and add invisible characters. ok is false for a
// text without a code. The service, the website and the command line all use it.
func FindCode(text string) (code string, ok bool) {
	if _, fragment, found := strings.Cut(text, "#t="); found {
		text = fragment
	}
	text = strings.ToUpper(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r): // before the controls: a line feed is both
			return ' '
		case unicode.In(r, unicode.Cf, unicode.Cc):
			return -1
		case unicode.Is(unicode.Pd, r), r == '\u2212': // the minus sign is no dash to Unicode
			return '-'
		}
		return r
	}, text))
	found := codePattern.FindString(strings.Join(strings.Fields(text), " "))
	if found == "" { // typed without its groups, or in others
		found = text
	}
	code = strings.NewReplacer(" ", "", "-", "", ">", "").Replace(found)
	return code, len(code) == codeSize && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// codeSize is the length of crypto/rand.Text.
const codeSize = 26
