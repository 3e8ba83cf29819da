package site

import (
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Pages are made without a template engine: that one calls methods by their names at run time, so the linker can drop
// no method of the program, and the binary for a router grows by 3 MB. HTML has the type markup. A value of any other
// type is escaped when it is put into a page.

// markup is HTML: a value of this type is not escaped.
type markup string

// join puts parts one after the other: markup as it is, everything else as text.
func join(parts ...any) markup {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case markup:
			b.WriteString(string(p))
		case string:
			b.WriteString(html.EscapeString(p))
		default:
			b.WriteString(html.EscapeString(fmt.Sprint(p)))
		}
	}
	return markup(b.String())
}

// el is an element with its content.
func el(tag markup, parts ...any) markup {
	name, _, _ := strings.Cut(string(tag), " ")
	return "<" + tag + ">" + join(parts...) + "</" + markup(name) + ">\n"
}

// attr is ` name="value"`.
func attr(name markup, value string) markup {
	return " " + name + `="` + markup(html.EscapeString(value)) + `"`
}

// page is what is shown.
type page struct {
	title   string
	problem string // shown as an alert
	said    string // shown as a status: the result of the last request
	nav     string // path of the signed-in owner's page
	body    markup
	refresh bool // a browser without JavaScript asks again every few seconds
	script  bool
}

// policy allows a page its own style, script and events. No other site can show it in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (v *visit) header() {
	h := v.rw.Header()
	h.Set("Cache-Control", "no-store")
	// With no-referrer a browser sends "Origin: null" with each form. Over plain HTTP that is all that it sends, so forms
	// of this site and of others would look the same. Secrets are in fragments, which no Referer has.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Language", v.tag)
	h.Set("Vary", "Accept-Language")
	if v.w.strict { // it holds for all ports of the host: with a port of its own, a hub may have other services
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func (v *visit) show(status int, p page) {
	v.header()
	v.rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	head := markup("")
	if p.refresh {
		head = `<noscript><meta http-equiv="refresh" content="3"></noscript>` + "\n"
	}
	if p.script {
		head += `<script src="/page.js" defer></script>` + "\n"
	}
	title := p.title
	body := markup("")
	if p.problem != "" {
		title = p.problem + " " + title // a screen reader begins with the title
		body += el(`p role="alert" id="problem"`, p.problem)
	}
	if p.said != "" {
		body += el(`p role="status" id="said"`, p.said)
	}
	if v.plain() && strings.Contains(string(p.body), ` type="password"`) {
		body += el(`p class="warning" id="plain"`, v.t.Plain)
	}
	out := join(markup("<!DOCTYPE html>\n<html"), attr("lang", v.tag), markup(`><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="same-origin">
`), el("title", title, " · rekeyd"), markup(`<link rel="stylesheet" href="/page.css">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
`), head, markup("</head>\n<body>\n"), el(`a class="skip" href="#content"`, v.t.Skip), v.nav(p.nav),
		markup(`<main id="content" tabindex="-1">`+"\n"), el("h1", p.title), body, p.body,
		markup("</main>\n</body></html>\n"))
	v.rw.WriteHeader(status)
	_, _ = v.rw.Write([]byte(out)) // the client went away
}

// plain reports whether the page goes over a network in the clear: plain HTTP, and the browser is not on this machine.
func (v *visit) plain() bool {
	host := home.HostOf(v.r)
	ip := net.ParseIP(host)
	return !v.w.secure && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// nav returns the links to the pages of a signed-in owner.
func (v *visit) nav(here string) markup {
	if v.owner == nil {
		return ""
	}
	var items markup
	for _, i := range [][2]string{
		{"/account", v.t.Devices},
		{"/account/hubs", v.t.Hubs},
		{"/account/sessions", v.t.Sessions},
		{"/account/password", v.t.Password},
		{"/account/history", v.t.History},
	} {
		a := `a` + attr("href", i[0])
		if i[0] == here {
			a += ` aria-current="page"`
		}
		items += el("li", el(a, i[1]))
	}
	items += el("li", el(`form method="post" action="/signout"`, el(`button class="plain"`, v.t.SignOut)))
	return el("header", el("nav"+attr("aria-label", v.t.Account), el("ul", items)))
}

// input is a labelled field. more are its other attributes.
func input(label, name, kind, auto, value string, more markup) markup {
	a := attr("name", name) + attr("type", kind) + attr("autocomplete", auto) + more
	if value != "" {
		a += attr("value", value)
	}
	return el("label", label, markup(" <input"+a+" required>"))
}

func hidden(name, value string) markup {
	return `<input type="hidden"` + attr("name", name) + attr("value", value) + ">\n"
}

func form(action string, parts ...any) markup {
	return el(`form method="post"`+attr("action", action), parts...)
}

func link(href, text string) markup { return el("a"+attr("href", href), text) }

func list(items ...markup) markup {
	var all markup
	for _, i := range items {
		all += el("li", i)
	}
	return el("ul", all)
}

// table returns a table with a caption for screen readers. On a narrow screen each cell stands below its column's name.
func table(caption string, columns []string, rows [][]any) markup {
	var head, body markup
	for _, c := range columns {
		head += el(`th scope="col"`, c)
	}
	for _, r := range rows {
		var cells markup
		for i, c := range r {
			cell := join(c)
			label := attr("data-label", columns[i])
			if strings.HasPrefix(string(cell), "<form") {
				label = "" // the button has a text
			}
			cells += "<td" + label + ">" + cell + "</td>\n"
		}
		body += el("tr", cells)
	}
	return el("table"+attr("aria-label", caption), el("thead", el("tr", head)), el("tbody", body))
}

// presentPassword is the field of a password that the account has.
func presentPassword(label, name string) markup {
	return input(label, name, "password", "current-password", "", "")
}

// rowButton is the button in a row of a table. A screen reader reads the name of the row with it.
func rowButton(text, row string) markup {
	return el(`button class="plain"`+attr("aria-label", text+": "+row), text)
}

// newPassword is the two fields of a new password, with the rule and advice.
func (v *visit) newPassword() markup {
	p := v.w.s.Policy()
	least, most := p.PasswordMin, account.MaxPassword
	strength := attr("data-weak", v.t.Strength[0]) + attr("data-fair", v.t.Strength[1]) +
		attr("data-strong", v.t.Strength[2])
	described := markup(` id="new" aria-describedby="rule strength"`)
	return join(input(v.t.NewPassword, "password", "password", "new-password", "", described),
		el(`p id="rule" class="hint"`, v.t.PasswordRule(least, most)),
		el(`p id="strength" class="hint" aria-live="polite"`+strength),
		input(v.t.OnceMore, "again", "password", "new-password", "", ""))
}

// problem maps an error to an HTTP status and a text for the person.
func (v *visit) problem(err error) (int, string) {
	e, ok := errors.AsType[*v1.Error](err)
	if !ok {
		v.w.log.Error("form not processed", "path", v.r.URL.Path, "err", err)
		return http.StatusInternalServerError, v.t.Busy
	}
	const wrong = http.StatusUnprocessableEntity
	switch e.Code {
	case v1.WrongPassword, v1.NotRegistered:
		return wrong, v.t.Wrong
	case v1.Locked:
		return http.StatusTooManyRequests, v.t.Locked
	case v1.RateLimit:
		return http.StatusTooManyRequests, v.t.TooMany
	case v1.InvalidEmail:
		return wrong, v.t.BadEmail
	case v1.LinkExpired:
		return wrong, v.t.LinkDead
	case account.NotACode:
		return wrong, v.t.NoCode
	case v1.CannotReset:
		return wrong, v.t.CannotReset
	case account.EmailTaken:
		return wrong, v.t.EmailTaken
	case account.NotActivated:
		return wrong, v.t.NotActivated
	case v1.BadNewPassword:
		if text, ok := v.t.Weak[string(account.Weakness(err))]; ok {
			return wrong, text
		}
		p := v.w.s.Policy()
		return wrong, v.t.PasswordRule(p.PasswordMin, account.MaxPassword)
	}
	return http.StatusServiceUnavailable, v.t.Busy
}
