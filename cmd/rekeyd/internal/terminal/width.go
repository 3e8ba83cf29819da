package terminal

import (
	"strings"

	"github.com/rivo/uniseg"

	"github.com/rekeyd/rekeyd/daemon"
)

// maxText is the longest text that a table shows, in runes.
const maxText = 1000

// plain returns text that cannot control a terminal: see daemon.Clean.
func plain(s string) string { return daemon.Clean(s, maxText) }

// Width returns how many columns of a terminal text takes: two for an ideograph or an emoji, none for an accent that
// combines.
func Width(s string) int { return uniseg.StringWidth(s) }

// cut returns text shortened to a width, with an ellipsis in the place of the rest. A character that takes two columns
// is never halved.
func cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	head, _ := split(s, width-1)
	return head + "…"
}

// split returns the longest beginning of text that fits into a width, and the rest.
func split(s string, width int) (head, rest string) {
	rest, state := s, -1
	for taken := 0; rest != ""; {
		cluster, after, w, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if taken += w; taken > width {
			break
		}
		head, rest, state = head+cluster, after, next
	}
	return head, rest
}

// pad returns text with blanks behind it, width columns together.
func pad(s string, width int) string { return s + strings.Repeat(" ", max(width-Width(s), 0)) }

// Wrap breaks text between words into lines of a width; zero for one line. A word that is longer has lines of its own.
func Wrap(s string, width int) []string {
	if width <= 0 || Width(s) <= width {
		return []string{s}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && Width(line)+1+Width(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for Width(word) > width {
			head, rest := split(word, width)
			if head == "" { // one character is wider
				break
			}
			lines, word = append(lines, head), rest
		}
		line = word
	}
	return append(lines, line)
}
