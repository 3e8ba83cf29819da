package site

import (
	"net/http"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// front is the first page: the form to sign in, or for an owner who is signed in a redirect to the devices.
func (w *Site) front(v *visit) {
	if _, err := w.s.OwnerOfCookie(v.cookie(sessionCookie)); err == nil {
		v.goTo("/account")
		return
	}
	result := ""
	if v.r.URL.Query().Has("out") {
		result = v.t.SignedOut
	}
	v.signInForm(http.StatusOK, "", result, "")
}

// signInForm shows the form to sign in; next is the page to which it then leads.
func (v *visit) signInForm(status int, next, result, problem string) {
	f := page.Join(v.emailField(), presentPassword(v.t.PasswordLabel, "password"))
	if next != "" {
		f = page.Join(f, page.Hidden("next", next))
	}
	v.show(status, content{title: v.t.SignIn, result: result, problem: problem, body: page.Join(
		page.Form("/signin", f, page.El("button", v.t.SignIn)),
		page.List(page.Link("/forgot", v.t.ToForgot), page.Link("/register", v.t.ToRegister), page.Link("/reset", v.t.ToCode),
			page.Link("/notme", v.t.ToNotMe)),
	)})
}

// emailField asks for an e-mail address. A form that is shown again keeps it.
func (v *visit) emailField() page.Markup {
	return page.Input(v.t.Email, "email", "email", "username", v.field("email"), "")
}

// frontLinks is the way on from a page without content.
func (v *visit) frontLinks() page.Markup { return page.El("p", page.Link("/", v.t.Account)) }

func (w *Site) signIn(v *visit) {
	in, err := w.s.Login(v.r.Context(), account.Login{
		Email: v.field("email"), Password: v.field("password"), Door: account.DoorWeb,
		From: account.Network(v.r.RemoteAddr), Cookie: true, TerminalCookie: w.s.TerminalCookie(v.r),
	})
	next := v.field("next")
	if err != nil {
		status, problem := v.problem(err)
		v.signInForm(status, next, "", problem)
		return
	}
	v.setCookie(sessionCookie, in.Token, cookieLife)
	w.s.SetTerminalCookie(v.rw, in.TerminalCookie)
	v.setCookie(ticketCookie, "", 0)
	if o, err := w.s.OwnerOfCookie(in.Token); err == nil && o.Lang() == "" {
		if err := o.SetLanguage(v.tag); err != nil {
			w.log.Warn("language not kept", "err", err)
		}
	}
	switch next {
	case "/account/hubs", "/account/sessions", "/account/password", "/account/history":
		v.goTo(next)
	default: // no other page needs a sign-in, and no other host is led to
		v.goTo("/account")
	}
}

func (w *Site) signOut(v *visit) {
	if o, err := w.s.OwnerOfCookie(v.cookie(sessionCookie)); err == nil {
		if err := o.SignOut(); err != nil {
			w.log.Error("session not ended", "err", err)
			v.show(http.StatusInternalServerError, content{title: v.t.SignOut, problem: v.t.Busy, body: v.frontLinks()})
			return
		}
	}
	v.setCookie(sessionCookie, "", 0)
	v.goTo("/?out")
}

func (w *Site) registerForm(v *visit) { v.showRegister(http.StatusOK, "") }

func (v *visit) showRegister(status int, problem string) {
	v.show(status, content{title: v.t.Register, problem: problem, script: true, body: page.Join(
		page.El("p", v.t.RegisterText),
		page.Form("/register", v.emailField(), v.newPassword(), page.El("button", v.t.Register)),
	)})
}

func (w *Site) register(v *visit) {
	if v.field("password") != v.field("again") {
		v.showRegister(http.StatusUnprocessableEntity, v.t.Differ)
		return
	}
	from := account.Network(v.r.RemoteAddr)
	err := w.s.Register(v.r.Context(), v.field("email"), v.field("password"), account.DoorWeb, v.tag, from)
	switch {
	case err != nil:
		v.showRegister(v.problem(err))
	case !w.s.NeedsActivation():
		v.signInForm(http.StatusOK, "", v.t.Registered, "")
	default:
		v.show(http.StatusOK, content{title: v.t.Mailed, result: v.t.RegisterMailed})
	}
}

func (w *Site) activateForm(v *visit) {
	v.showCode(http.StatusOK, "/activate", v.t.Activate, v.t.ActivateText, v.t.Activate, "")
}

// showCode asks for the code of a mail. A link has the code in its fragment, and the script fills it in. Without the
// script a person types it.
func (v *visit) showCode(status int, action, title, text, button, problem string) {
	more := page.Markup(` id="token" spellcheck="false" autocapitalize="characters"`)
	if action == "/reset" {
		more += ` data-go="1"`
	}
	var body page.Markup
	if text != "" {
		body = page.El("p", text)
	}
	v.show(status, content{title: title, problem: problem, script: true, body: page.Join(
		body, page.Form(action, page.Input(v.t.CodeLabel, "token", "text", "one-time-code", "", more), page.El("button", button)),
	)})
}

func (w *Site) activate(v *visit) {
	if err := w.s.Activate(v.r.Context(), v.field("token")); err != nil {
		status, problem := v.problem(err)
		v.showCode(status, "/activate", v.t.Activate, v.t.ActivateText, v.t.Activate, problem)
		return
	}
	v.signInForm(http.StatusOK, "", v.t.Activated, "")
}
