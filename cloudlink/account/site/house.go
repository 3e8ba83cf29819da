package site

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

func (w *Site) devices(v *visit) {
	ds, err := v.owner.Devices()
	p := content{title: v.t.Devices, nav: "/account", script: true}
	switch {
	case err != nil:
		w.log.Error("devices not read", "err", err)
		p.problem = v.t.Busy
	case len(ds) == 0:
		p.body = page.El("p", v.t.NoDevices)
	}
	done := 0
	for _, d := range ds {
		if d.SignedIn {
			done++
		}
	}
	if len(ds) > 0 {
		p.result = v.progressSentence(ds)
		p.body = page.El(`div data-live="/account/live"`, v.deviceTable(ds))
	}
	p.refresh = done+v.needing(ds) < len(ds)
	v.show(http.StatusOK, p)
}

// hubs returns the owner's hubs.
func (v *visit) hubs() []account.Hub {
	hs, err := v.owner.Hubs()
	if err != nil {
		v.w.log.Error("hubs not read", "err", err)
	}
	return hs
}

func (v *visit) deviceTable(ds []account.DeviceInfo) page.Markup {
	labels := map[string]string{}
	for _, h := range v.hubs() {
		labels[h.Name] = h.Label
	}
	rows := make([][]any, len(ds))
	for i, d := range ds {
		word, ok := v.t.Verdicts[string(d.Verdict)]
		if !ok {
			word = string(d.Verdict)
		}
		hint := page.Markup("")
		if text, ok := v.t.Hints[string(d.Verdict)]; ok {
			hint = page.El(`div class="hint"`, text)
		}
		signed := v.t.NotYet
		if d.SignedIn {
			signed = v.t.SignedIn
		}
		if word != "" {
			signed += ", " + word
		}
		kind, ok := v.t.Kinds[d.Kind]
		if !ok {
			kind = d.Kind
		}
		rows[i] = []any{name(d), kind, page.Join(signed, hint), v.when(d.Since), labels[d.Holder]}
	}
	return page.Table(v.t.Devices, []string{v.t.Name, v.t.Kind, v.t.Verdict, v.t.When, v.t.HubLabel}, rows)
}

// when returns a time in the words of the language, and in RFC 3339 for programs.
func (v *visit) when(t time.Time) page.Markup {
	if t.IsZero() {
		return ""
	}
	return page.El("time"+page.Attr("datetime", t.UTC().Format(time.RFC3339)), v.t.Time(t))
}

func (w *Site) hubs(v *visit) {
	result := ""
	if v.r.URL.Query().Has("removed") {
		result = v.t.HubRemoved
	}
	v.showHubs(http.StatusOK, result, "")
}

func (v *visit) showHubs(status int, result, problem string) {
	hs := v.hubs()
	body := page.El("p", v.t.NoHubs)
	if len(hs) > 0 {
		rows := make([][]any, len(hs))
		for i, h := range hs {
			rows[i] = []any{
				h.Label + ", " + v.t.HubIs[h.Online], h.Version, v.when(time.UnixMilli(h.Since)),
				strconv.FormatUint(h.Epoch, 10), strconv.Itoa(h.Devices),
				page.Form("/account/hubs/remove", page.Hidden("hub", h.Name), page.Button(v.t.Remove, h.Label)),
			}
		}
		body = page.Table(v.t.Hubs, []string{v.t.Name, v.t.Version, v.t.Since, v.t.Epoch, v.t.Devices, v.t.Remove}, rows)
	}
	v.show(status, content{title: v.t.Hubs, nav: "/account/hubs", result: result, problem: problem, body: page.Join(
		body, page.El("h2", v.t.Approve), page.El("p", v.t.ApproveText),
		page.Form("/account/hubs/add", v.whose(), presentPassword(v.t.PasswordLabel, "password"),
			page.El("button", v.t.ApproveButton)),
	)})
}

// whose names the account whose password a form asks for. Password managers read this field, too.
func (v *visit) whose() page.Markup {
	return page.Input(v.t.For, "email", "email", "username", v.owner.Email(), " readonly")
}

// addHub shows a pairing word. One hub can enrol with it, once, within the policy's pairing_life.
func (w *Site) addHub(v *visit) {
	p, err := v.owner.Pair(v.r.Context(), v.field("password"), account.Network(v.r.RemoteAddr))
	if err != nil {
		status, problem := v.problem(err)
		v.showHubs(status, "", problem)
		return
	}
	v.show(http.StatusOK, content{title: v.t.Approved, nav: "/account/hubs", body: page.Join(
		page.El("p", v.t.ApprovedText(w.s.Policy().PairingLife)), page.El(`code class="word" id="word"`, p.Reveal()))})
}

// removeHub asks for confirmation: the bindings of the hub's devices are removed with it.
func (w *Site) removeHub(v *visit) {
	name := v.field("hub")
	var hub *account.Hub
	for _, h := range v.hubs() {
		if h.Name == name {
			hub = &h
		}
	}
	switch {
	case hub == nil:
		v.showHubs(http.StatusUnprocessableEntity, "", v.t.HubGone)
	case v.field("sure") == "":
		v.show(http.StatusOK, content{title: v.t.RemoveHub, nav: "/account/hubs", body: page.Join(
			page.El("p", v.t.RemoveAsk(hub.Label, hub.Devices)),
			page.Form("/account/hubs/remove", page.Hidden("hub", name), page.Hidden("sure", "1"),
				page.El(`div class="steps"`, page.El("button", v.t.Remove), page.Link("/account/hubs", v.t.Cancel))),
		)})
	default:
		if err := v.owner.RemoveHub(name); err != nil && !errors.Is(err, home.ErrNotFound) {
			w.log.Error("hub not removed", "hub", name, "err", err)
			v.showHubs(http.StatusInternalServerError, "", v.t.Busy)
			return
		}
		v.goTo("/account/hubs?removed")
	}
}

func (w *Site) sessions(v *visit) {
	result := ""
	if v.r.URL.Query().Has("ended") {
		result = v.t.SessionEnded
	}
	v.showSessions(http.StatusOK, result, "")
}

func (v *visit) showSessions(status int, result, problem string) {
	ss, err := v.owner.Sessions()
	if err != nil {
		v.w.log.Error("sessions not read", "err", err)
		status, problem = http.StatusInternalServerError, v.t.Busy
	}
	rows := make([][]any, len(ss))
	for i, s := range ss {
		door := v.t.DoorName[s.Door]
		what := door
		if s.This {
			what += " (" + v.t.This + ")"
		}
		rows[i] = []any{
			what, v.when(s.Since),
			page.Form("/account/sessions/end", page.Hidden("session", s.ID), page.Button(v.t.End, door+", "+v.t.Time(s.Since))),
		}
	}
	v.show(status, content{title: v.t.Sessions, nav: "/account/sessions", result: result, problem: problem, body: page.Join(
		page.Table(v.t.Sessions, []string{v.t.DoorLabel, v.t.Since, v.t.End}, rows),
		page.Form("/account/sessions/end", page.Hidden("all", "1"), page.El("p", v.t.EndAllAsk), page.El("button", v.t.EndAll)))})
}

func (w *Site) endSession(v *visit) {
	if v.field("all") != "" {
		if err := v.owner.EndAll(); err != nil {
			w.log.Error("sessions not ended", "err", err)
			v.showSessions(http.StatusInternalServerError, "", v.t.Busy)
			return
		}
		v.setCookie(sessionCookie, "", 0)
		v.goTo("/?out")
		return
	}
	switch err := v.owner.End(v.field("session")); {
	case errors.Is(err, home.ErrNotFound):
		v.showSessions(http.StatusUnprocessableEntity, "", v.t.SessionGone)
	case err != nil:
		w.log.Error("session not ended", "err", err)
		v.showSessions(http.StatusInternalServerError, "", v.t.Busy)
	default:
		v.goTo("/account/sessions?ended")
	}
}

func (w *Site) passwordForm(v *visit) { v.showPassword(http.StatusOK, "") }

func (v *visit) showPassword(status int, problem string) {
	v.show(status, content{title: v.t.Password, nav: "/account/password", problem: problem, script: true, body: page.Join(
		page.El("p", v.t.ChangeText),
		page.Form("/account/password", v.whose(), presentPassword(v.t.OldPassword, "old"), v.newPassword(), v.exposedQuestion(),
			page.El("button", v.t.Change)),
	)})
}

func (w *Site) changePassword(v *visit) {
	if v.field("password") != v.field("again") {
		v.showPassword(http.StatusUnprocessableEntity, v.t.Differ)
		return
	}
	from := account.Network(v.r.RemoteAddr)
	choices := account.Choices{Exposed: v.exposed()}
	begun, err := v.owner.ChangePassword(v.r.Context(), v.field("old"), v.field("password"), from, choices)
	if err != nil {
		v.showPassword(v.problem(err))
		return
	}
	v.setCookie(sessionCookie, "", 0)
	v.setCookie(ticketCookie, begun.Ticket, time.Hour)
	v.goTo("/reset/done?changed")
}

func (w *Site) history(v *visit) {
	p := content{title: v.t.History, nav: "/account/history"}
	es, err := v.owner.History()
	if err != nil {
		w.log.Error("history not read", "err", err)
		p.problem = v.t.Busy
	}
	rows := make([][]any, len(es))
	for i, e := range es {
		what, ok := v.t.Events[e.What]
		if !ok {
			what = e.What
		}
		detail, ok := v.t.Causes[e.Detail]
		if !ok {
			detail = e.Detail
		}
		rows[i] = []any{v.when(e.At), what, v.t.DoorName[e.Door], detail}
	}
	if p.body = page.El("p", v.t.NoHistory); len(rows) > 0 {
		p.body = page.Table(v.t.History, []string{v.t.When, v.t.What, v.t.DoorLabel, v.t.Details}, rows)
	}
	v.show(http.StatusOK, p)
}
