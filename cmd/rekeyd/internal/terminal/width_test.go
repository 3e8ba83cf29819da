package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTextFitsIntoItsColumns cuts and wraps names in scripts of one and two columns, with accents and emoji of several
// runes.
func TestTextFitsIntoItsColumns(t *testing.T) {
	family := "\U0001F468\u200d\U0001F469\u200d\U0001F467" // one emoji of five runes
	for _, s := range []string{
		"", "lamp", "лампа в коридоре", "玄関のカメラと廊下の電球", "e\u0301te\u0301 accents",
		family + family + " living room",
		strings.Repeat("x", 63), "a " + strings.Repeat("é", 40),
	} {
		for width := 2; width < 45; width++ {
			if got := cut(s, width); Width(got) > width || !utf8.ValidString(got) {
				t.Errorf("cut(%q, %d) = %q, which takes %d columns", s, width, got, Width(got))
			}
			for _, line := range Wrap(s, width) {
				if Width(line) > width {
					t.Errorf("Wrap(%q, %d) has the line %q of %d columns", s, width, line, Width(line))
				}
			}
			joined := strings.Join(Wrap(s, width), "")
			if strings.ReplaceAll(joined, " ", "") != strings.ReplaceAll(s, " ", "") {
				t.Errorf("Wrap(%q, %d) lost text: %q", s, width, joined)
			}
		}
	}
	if got := Width(family); got != 2 {
		t.Errorf("a family takes %d columns", got)
	}
	if got := cut("玄関のカメラ", 6); got != "玄関…" {
		t.Errorf("cut in the middle of an ideograph: %q", got)
	}
}

// TestANameCannotControlTheTerminal shows names as devices send them.
func TestANameCannotControlTheTerminal(t *testing.T) {
	for _, s := range []string{
		"\x1b[2Jlamp", "lamp\r\nroot#", "\u202elamp\u2066", "\u009b31mlamp", "la\x00mp", "\u200elamp\ufeff",
	} {
		got := plain(s)
		if strings.ContainsAny(got, "\x1b\r\n\x00\u202e\u2066\u009b\u200e\ufeff") || !strings.Contains(got, "la") {
			t.Errorf("plain(%q) = %q", s, got)
		}
	}
}
