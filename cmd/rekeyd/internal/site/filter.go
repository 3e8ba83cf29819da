package site

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// filter selects devices. The zero value selects all.
type filter struct {
	find  string // a part of the name, the address, the ID or the model, in any letter case
	state string // a key of states
}

// states are the groups by which a person selects, as the page lists them.
var states = map[string][]daemon.Group{
	"need": {daemon.NeedsYou}, "kept": {daemon.Moving, daemon.Kept}, "others": {daemon.Others},
}

// filterOf returns the filter of a request. An unknown state selects all.
func filterOf(r *http.Request) (f filter) {
	q := r.URL.Query()
	f.find = strings.TrimSpace(q.Get("find"))
	if states[q.Get("state")] != nil {
		f.state = q.Get("state")
	}
	return f
}

// query is the filter in a URL, with its question mark; empty for the zero value.
func (f filter) query() string {
	q := url.Values{}
	if f.find != "" {
		q.Set("find", f.find)
	}
	if f.state != "" {
		q.Set("state", f.state)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func (f filter) selects(r daemon.Row) bool {
	if f.state != "" && !slices.Contains(states[f.state], r.Group()) {
		return false
	}
	text := strings.ToLower(r.Name + " " + r.Addr + " " + string(r.ID) + " " + r.MAC + " " + r.Model)
	return strings.Contains(text, strings.ToLower(f.find))
}

// search is the form of the filter.
func (v *visit) search(f filter) page.Markup {
	option := func(state, text string) page.Markup {
		tag := "option" + page.Attr("value", state)
		if state == f.state {
			tag += " selected"
		}
		return page.El(tag, text)
	}
	return page.El(`form method="get" action="/" role="search" class="find"`,
		page.El("label", v.t.Search, page.Markup(` <input type="search" name="find"`+page.Attr("value", f.find)+">")),
		page.El("label", v.t.State, page.El(`select name="state"`, option("", v.t.AllStates), option("need", v.t.NeedYou),
			option("kept", v.t.KeptGroup), option("others", v.t.Others))),
		page.El("button", v.t.Find))
}
