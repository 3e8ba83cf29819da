// Package language has the texts of the account service for people, in each of its languages: on its pages and in its
// mails. Every text of a language stands in that language's files and nowhere else; a language that lacks one
// does not pass the tests.
package language

import (
	"strconv"
	"strings"
	"sync"
)

// Texts are all texts of one language.
type Texts struct {
	Tag   string // BCP 47, for lang attributes and Content-Language
	Name  string // of the language, in itself
	Mail  Mail
	Site  Site
	House House
}

// all holds the languages, the default first. They are built at the first use and never change.
var all = sync.OnceValue(func() []*Texts { return []*Texts{English(), Russian()} })

// All returns every language, the default first. The texts are shared and never written to.
func All() []*Texts { return all() }

// Of returns the language with the tag, English when there is none.
func Of(tag string) *Texts {
	if t := find(tag); t != nil {
		return t
	}
	return all()[0]
}

// find returns the language of a tag such as "ru" or "ru-RU", nil when there is none.
func find(tag string) *Texts {
	base, _, _ := strings.Cut(tag, "-")
	for _, t := range all() {
		if strings.EqualFold(t.Tag, base) {
			return t
		}
	}
	return nil
}

// maxHeader is the longest Accept-Language header that is read, in bytes. A browser sends less than 200.
const maxHeader = 1024

// Accepted returns the language that a browser's Accept-Language header (RFC 9110) prefers among ours. It runs for
// every request before any limit, so it compares tags only and allocates nothing.
func Accepted(header string) *Texts {
	best, quality := all()[0], 0.0
	if len(header) > maxHeader {
		return best
	}
	for part := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		t := find(strings.TrimSpace(tag))
		if t == nil {
			continue
		}
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || f < 0 || f > 1 {
				continue
			}
			q = f
		}
		if q > quality {
			best, quality = t, q
		}
	}
	return best
}
