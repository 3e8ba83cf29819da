package site

import (
	"errors"
	"net/http"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// content is what is shown.
type content struct {
	title   string
	problem string // shown as an alert
	result  string // shown as a status: the result of the last request
	nav     string // path of the signed-in owner's page
	body    page.Markup
	refresh bool // a browser without JavaScript asks again every few seconds
	script  bool
}

func (v *visit) header() {
	page.Header(v.rw.Header(), v.tag)
	if v.w.strict { // it holds for all ports of the host: with a port of its own, a hub may have other services
		v.rw.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func (v *visit) show(status int, c content) {
	v.header()
	out := page.Content{
		Lang: v.tag, Title: c.title, Problem: c.problem, Result: c.result, Body: c.body, Refresh: c.refresh,
		Script: c.script, Label: v.t.Account, Skip: v.t.Skip, Here: c.nav, Secure: v.w.secure,
	}
	if page.Plain(v.r, v.w.secure) {
		out.Warning = v.t.Plain
	}
	if v.w.above != "" {
		out.Above, out.AbovePath = language.Of(v.tag).House.House, v.w.above
	}
	if v.owner != nil {
		out.Nav = []page.Item{
			{Path: "/account", Text: v.t.Devices},
			{Path: "/account/hubs", Text: v.t.Hubs},
			{Path: "/account/sessions", Text: v.t.Sessions},
			{Path: "/account/password", Text: v.t.Password},
			{Path: "/account/history", Text: v.t.History},
		}
		out.Account = page.Form("/signout", page.El(`button class="plain"`, v.t.SignOut))
	}
	page.Write(v.rw, status, v.w.prefix, out)
}

// presentPassword is the field of a password that the account has.
func presentPassword(label, name string) page.Markup {
	return page.Input(label, name, "password", "current-password", "", "")
}

// newPassword is the two fields of a new password, with the rule and advice.
func (v *visit) newPassword() page.Markup {
	p := v.w.s.Policy()
	least, most := p.PasswordMin, account.MaxPassword
	strength := page.Attr("data-weak", v.t.Strength[0]) + page.Attr("data-fair", v.t.Strength[1]) +
		page.Attr("data-strong", v.t.Strength[2])
	described := page.Markup(` id="new" aria-describedby="rule strength"`)
	return page.Join(page.Input(v.t.NewPassword, "password", "password", "new-password", "", described),
		page.El(`p id="rule" class="hint"`, v.t.PasswordRule(least, most)),
		page.El(`p id="strength" class="hint" aria-live="polite"`+strength),
		page.Input(v.t.OnceMore, "again", "password", "new-password", "", ""))
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
