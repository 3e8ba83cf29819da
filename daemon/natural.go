package daemon

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// sortRows sorts rows by label, as people sort names.
func sortRows(rows []Row) { sortBy(rows, func(r Row) Row { return r }) }

// sortBy sorts values by the label of their rows. Labels are made once each: that costs more than a comparison.
func sortBy[T any](values []T, row func(T) Row) {
	type labelled struct {
		label string
		id    home.DeviceID
		value T
	}
	all := make([]labelled, len(values))
	for i, v := range values {
		r := row(v)
		all[i] = labelled{r.Label(), r.ID, v}
	}
	slices.SortFunc(all, func(a, b labelled) int { return cmp.Or(natural(a.label, b.label), cmp.Compare(a.id, b.id)) })
	for i := range all {
		values[i] = all[i].value
	}
}

// natural compares names as people sort them: "lamp 2" before "lamp 10", whatever the letter case.
func natural(a, b string) int {
	for a, b = strings.ToLower(a), strings.ToLower(b); a != "" && b != ""; {
		m, n := digits(a), digits(b)
		if m > 0 && n > 0 {
			x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[m:], b[n:]
			continue
		}
		r, size := utf8.DecodeRuneInString(a)
		s, other := utf8.DecodeRuneInString(b)
		if r != s {
			return cmp.Compare(r, s)
		}
		a, b = a[size:], b[other:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits returns how many digits text begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
