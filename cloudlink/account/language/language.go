// Package language holds what the account service says to people, in each language that it speaks: on its pages and in its mails.
// Every text of a language stands in that language's files and nowhere else; a language that lacks one does not pass the tests.
package language

import (
	"strconv"
	"strings"
)

// Texts is everything that is said in one language.
type Texts struct {
	Tag  string // BCP 47, for lang attributes and Content-Language
	Name string // of the language, in itself
	Mail Mail
	Site Site
}

// All returns every language, the default first.
func All() []*Texts { return []*Texts{English(), Russian()} }

// Of returns the language with the tag, English when there is none.
func Of(tag string) *Texts {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	for _, t := range All() {
		if t.Tag == base {
			return t
		}
	}
	return English()
}

// Accepted returns the language that a browser's Accept-Language header (RFC 9110) prefers among ours.
func Accepted(header string) *Texts {
	best, quality := English(), 0.0
	if len(header) > 1024 {
		return best
	}
	for part := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || f < 0 || f > 1 {
				continue
			}
			q = f
		}
		base, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		for _, t := range All() {
			if t.Tag == base && q > quality {
				best, quality = t, q
			}
		}
	}
	return best
}
