package daemon

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Group is the part of the house in which a device is listed, on the page and in the terminal.
type Group int

// The groups, in the order of the list. Page and terminal list Moving and Kept under one heading.
const (
	NeedsYou Group = iota // bound, and waits for a person
	Moving                // bound, and rekeyd is at work
	Kept                  // bound and current
	Others                // not bound
)

// Group returns the group of a device.
func (r Row) Group() Group {
	switch {
	case !r.Bound:
		return Others
	case r.Verdict == home.Current:
		return Kept
	case r.MovedBy != "": // that hub asks its owner
		return Moving
	case r.Hint != "" || r.Held || r.Consent:
		return NeedsYou
	}
	return Moving
}

// Summary is the house in numbers of devices.
type Summary struct {
	Need, Moving, Kept, Others int // in each group
	Ours                       int // of Others: those that proved a password of the account, and can be bound
}

// Bound returns how many devices are bound.
func (s Summary) Bound() int { return s.Need + s.Moving + s.Kept }

// Summarize counts devices.
func Summarize(rows []Row) (s Summary) {
	for _, r := range rows {
		switch r.Group() {
		case NeedsYou:
			s.Need++
		case Moving:
			s.Moving++
		case Kept:
			s.Kept++
		case Others:
			s.Others++
			if r.Proved && !r.LeftOut {
				s.Ours++
			}
		}
	}
	return s
}

// maxLabel is the longest label, in runes.
const maxLabel = 80

// Label returns the name of a device for people: without control characters and direction overrides, which would
// change the text around it, and at most maxLabel runes long. Joiners stay, as emoji need them. A device without a name
// has its ID.
func (r Row) Label() string { return cmp.Or(Clean(r.Name, maxLabel), string(r.ID)) }

// Clean returns one line of text without the characters that Label drops, of at most limit runes.
func Clean(text string, limit int) string {
	clean := strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c != '\u200d' && unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co) {
			return -1
		}
		return c
	}, text)), " ")
	if runes := []rune(clean); len(runes) > limit {
		clean = string(runes[:limit]) + "…"
	}
	return clean
}
