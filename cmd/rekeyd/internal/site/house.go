package site

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// house is the first page.
func (s *Site) house(v *visit) {
	st, err := s.o.Status()
	if err != nil {
		s.o.Log.Error("page not made", "err", err)
		v.show(http.StatusInternalServerError, page.Content{Title: v.t.Title, Problem: v.t.Unreadable})
		return
	}
	c := page.Content{Title: v.t.Title, Here: "/", Script: true, Refresh: true}
	if v.r.URL.Query().Has("done") {
		c.Result = v.t.Done
	}
	if st.Account == "" {
		c.Title, c.Refresh = v.t.Question, false
		c.Body = page.Join(v.firstQuestion(st), page.El(`div data-live="/live"`, v.rows(st)))
	} else {
		f := filterOf(v.r)
		c.Body = page.El("div"+page.Attr("data-live", "/live"+f.query()), v.overview(st, f))
	}
	v.show(http.StatusOK, c)
}

// firstQuestion leads a newcomer to the account that they have.
func (v *visit) firstQuestion(st daemon.Status) page.Markup {
	own := page.Join(page.El("p", v.t.OwnText), page.El("p", page.El("code", "rekeyd setup")))
	if st.Embedded && v.s.o.Account != nil {
		own = page.Join(own, page.El("p", page.Link(AccountPath+"/register", v.t.Register)))
	}
	here := page.El("p", page.Link("/passwords", v.t.SignInFirst))
	if v.signed {
		here = v.loginForm(st)
	}
	return here + page.El(`div class="choices"`,
		page.El("section", page.El("h2", v.t.Vendor), page.El("p", v.t.VendorText),
			page.El("p", page.El("code", "rekeyd login EMAIL --provider tplink"))),
		page.El("section", page.El("h2", v.t.Own), own, page.El("p", v.t.OnThisHub)))
}

// rows lists the devices that were found before there is an account.
func (v *visit) rows(st daemon.Status) page.Markup {
	n := daemon.Summarize(st.Devices)
	sentence := v.t.Sentence(n.Need, n.Moving, n.Kept, n.Others)
	return page.Join(v.troubles(st), page.El("p", sentence), v.list(v.t.Others, st.Devices))
}

// overview is the sentence and the groups, of those devices that the filter selects.
func (v *visit) overview(st daemon.Status, f filter) page.Markup {
	n := daemon.Summarize(st.Devices)
	sentence := v.t.Sentence(n.Need, n.Moving, n.Kept, n.Others)
	if st.Ended {
		sentence = v.t.Ended
	}
	out := v.troubles(st) + page.El(`p class="sentence" role="status"`, sentence)
	if st.Ended {
		out += page.El("p", v.t.EndedText, " ", page.El("code", "rekeyd login EMAIL --provider tplink")) +
			page.El("p", page.El(`a class="button" href="/passwords"`, v.t.IChangedIt))
	}
	if n.Moving > 0 {
		out += page.El("progress" + page.Attr("value", fmt.Sprint(n.Kept+n.Need)) + page.Attr("max", fmt.Sprint(n.Bound())) +
			page.Attr("aria-label", v.t.Title))
	}
	for _, a := range st.Acting {
		out += page.El("p", v.t.StandsBy(a.Hub, a.Devices))
	}
	if st.Link == "down" && st.Reason != "" && st.Provider == home.Home {
		out += page.El(`p class="hint"`, v.t.LinkDown)
	}
	if n.Ours > 0 {
		out += page.El(`div class="offer"`, page.El("p", v.t.More(n.Ours)), v.button("/bind-ours", v.t.BindAll, v.t.Others))
	}
	if len(st.Devices) > 20 || f != (filter{}) {
		out += v.search(f)
	}
	var groups [daemon.Others + 1][]daemon.Row
	found := 0
	for _, r := range st.Devices {
		if f.selects(r) {
			groups[r.Group()] = append(groups[r.Group()], r)
			found++
		}
	}
	if f != (filter{}) && found == 0 {
		return out + page.El("p", v.t.NoMatch)
	}
	out += v.list(v.t.NeedYou, groups[daemon.NeedsYou])
	if n.Moving > 0 && n.Need > 0 || n.Need > 1 {
		out += v.button("/rekey", v.t.RekeyAll, v.t.NeedYou)
	}
	out += v.list(v.t.KeptGroup, slices.Concat(groups[daemon.Moving], groups[daemon.Kept]))
	return out + v.list(v.t.Others, groups[daemon.Others])
}

// troubles are the reasons why the hub itself cannot do its work.
func (v *visit) troubles(st daemon.Status) (out page.Markup) {
	for _, t := range st.Troubles {
		out += page.El(`p role="alert"`, t.What, ". ", page.El("span", t.Hint))
	}
	return out
}

// button is a form of one button, for an owner who is signed in.
func (v *visit) button(action, text, of string) page.Markup {
	if !v.signed {
		return ""
	}
	return page.Form(action, page.Button(text, of))
}

// list is a heading with a row for each device; empty for none.
func (v *visit) list(heading string, rows []daemon.Row) page.Markup {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(string(v.row(r)))
	}
	return page.El("h2", heading, " ", page.El("small", fmt.Sprint(len(rows)))) +
		page.El(`ul class="devices"`, page.Markup(b.String()))
}

// mark is the shape and colour class of a verdict: words, shape and colour have one meaning.
func mark(r daemon.Row) (class page.Markup, shape string) {
	switch r.Group() {
	case daemon.Kept:
		return "ok", "●"
	case daemon.NeedsYou:
		return "need", "▲"
	case daemon.Moving:
		return "move", "◐"
	}
	return "other", "○"
}

func (v *visit) row(r daemon.Row) page.Markup {
	class, shape := mark(r)
	verdict := v.verdict(r)
	if r.Group() == daemon.NeedsYou {
		if text := v.whatToDo(r); text != "" {
			verdict += " · " + text
		}
	}
	return "<li class=" + class + `><a href="/device/` + page.Join(url.PathEscape(string(r.ID))) + `"><i aria-hidden="true">` +
		page.Markup(shape) + "</i><b><bdi>" + page.Join(r.Label()) + "</bdi></b> <span>" + page.Join(v.kind(r), ", ", verdict) +
		"</span></a></li>\n"
}

func (v *visit) kind(r daemon.Row) string {
	return cmp.Or(v.all.Site.Kinds[string(r.Kind)], string(r.Kind))
}

// verdict is the verdict in words.
func (v *visit) verdict(r daemon.Row) string {
	return cmp.Or(v.all.Site.Verdicts[string(r.Verdict)], string(r.Verdict))
}

// whatToDo is the advice for a device; the command line's own where there is none in the page's language.
func (v *visit) whatToDo(r daemon.Row) string {
	if r.Held {
		return v.t.Held
	}
	return cmp.Or(v.all.Site.Hints[string(r.Verdict)], r.Hint)
}

// history lists what happened.
func (s *Site) history(v *visit) {
	events, err := s.o.History(200)
	c := page.Content{Title: v.t.History, Here: "/history"}
	if err != nil {
		s.o.Log.Error("history not read", "err", err)
		c.Problem = v.t.Unreadable
	}
	st, err := s.o.Status()
	if err != nil {
		s.o.Log.Error("page not made", "err", err)
	}
	c.Body = v.events(events, st.Devices)
	v.show(http.StatusOK, c)
}

// events is a table of events, with the names of the devices that rows has.
func (v *visit) events(events []home.Event, rows []daemon.Row) page.Markup {
	if len(events) == 0 {
		return page.El("p", v.all.Site.NoHistory)
	}
	names := map[home.DeviceID]string{}
	for _, r := range rows {
		names[r.ID] = r.Label()
	}
	cells := make([][]any, len(events))
	for i, e := range events {
		what := e.What
		if e.Epoch != 0 {
			what += " (" + v.t.Password(int(e.Epoch)) + ")"
		}
		device := page.Markup("")
		if e.Device != "" && v.r.PathValue("id") == "" { // the page of a device is about this one
			device = page.Link("/device/"+url.PathEscape(string(e.Device)), cmp.Or(names[e.Device], string(e.Device)))
		}
		cells[i] = []any{v.when(e.At), what, device, e.Detail}
	}
	t := v.all.Site
	return page.Table(v.t.History, []string{t.When, t.What, t.Name, t.Details}, cells)
}

// when returns a time in the words of the language, and in RFC 3339 for programs.
func (v *visit) when(at time.Time) page.Markup {
	if at.IsZero() {
		return ""
	}
	return page.El("time"+page.Attr("datetime", at.UTC().Format(time.RFC3339)), v.all.Site.Time(at))
}
