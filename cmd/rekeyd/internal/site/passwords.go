package site

import (
	"context"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// askPatience is how long a page waits for an account's service or a device.
const askPatience = 30 * time.Second

// passwordsForm is the page of the account's passwords: the newest one, and earlier ones.
func (s *Site) passwordsForm(v *visit) {
	if !v.signed {
		v.showSignIn(http.StatusUnauthorized, v.t.SignInFirst)
		return
	}
	result := ""
	switch q := v.r.URL.Query(); {
	case q.Has("in"):
		result = v.t.LoginDone
	case q.Has("new"):
		result = v.t.EarlierDone(1)
	case q.Has("known"):
		result = v.t.EarlierDone(0)
	}
	v.showPasswords(http.StatusOK, result, "")
}

func (v *visit) showPasswords(status int, result, problem string) {
	st, err := v.s.o.Status()
	if err != nil {
		v.s.o.Log.Error("page not made", "err", err)
		status, problem = http.StatusInternalServerError, v.t.Unreadable
	}
	var body page.Markup
	switch {
	case st.Account == "":
		body = v.loginForm(st)
	case st.Provider == home.TPLink:
		body = page.Join(page.El("h2", v.t.IChangedIt), page.El("p", v.t.IChangedText),
			page.Form("/passwords/new", userName,
				page.Input(v.t.NewestPassword, "password", "password", "current-password", "", ""),
				page.El(`label class="tick"`, page.Markup(`<input type="checkbox" name="exposed"> `), v.t.ExposedAsk),
				v.vendorCode(), page.El("button", v.t.IChangedIt)))
	default:
		at := page.Markup("")
		if st.Embedded && v.s.o.Account != nil {
			at = page.Link(AccountPath+"/account/password", v.t.Account)
		}
		body = page.Join(page.El("h2", v.t.IChangedIt), page.El("p", v.t.ChangeElsewhere, " ", at))
	}
	if st.Account != "" {
		body += page.Join(page.El("h2", v.t.Earlier), page.El("p", v.t.EarlierText),
			page.Form("/passwords/earlier", userName, page.Input(v.t.EarlierField, "password", "password", "off", "", ""),
				page.El("button", v.t.EarlierButton)))
	}
	v.show(status, page.Content{
		Title: v.t.PasswordsTitle, Result: result, Problem: problem, Here: "/passwords", Body: body,
	})
}

// vendorCode is the field of a second factor.
func (v *visit) vendorCode() page.Markup {
	return page.El("label", v.t.VendorCode,
		page.Markup(` <input name="code" inputmode="numeric" autocomplete="one-time-code">`))
}

// loginForm signs a hub without an account in.
func (v *visit) loginForm(st daemon.Status) page.Markup {
	choice := func(value string, checked page.Markup, text string) page.Markup {
		return page.El(`label class="tick"`,
			page.Markup(`<input type="radio" name="provider"`+page.Attr("value", value)+checked+"> "), text)
	}
	provider := page.El("fieldset", page.El("legend", v.t.Account),
		choice(string(home.TPLink), " checked", v.t.VendorChoice), choice("", "", v.t.OwnChoice))
	return page.El("section", page.El("h2", v.t.LoginTitle), page.El("p", v.t.LoginText),
		page.Form("/passwords/new", provider, page.Input(v.all.Site.Email, "email", "email", "username", "", ""),
			page.Input(v.all.Site.PasswordLabel, "password", "password", "current-password", "", ""), v.vendorCode(),
			page.El("button", v.t.LoginButton)))
}

// login signs the hub in: to the account that it has, with the newest password, or without one to an account. A page
// does not replace one account by another.
func (s *Site) login(v *visit) {
	st, err := s.o.Status()
	if err != nil {
		s.o.Log.Error("page not made", "err", err)
		v.showPasswords(http.StatusInternalServerError, "", v.t.Unreadable)
		return
	}
	form := v.r.PostForm
	in := daemon.Login{
		Password: home.NewSecret(form.Get("password")), Code: form.Get("code"), Exposed: form.Get("exposed") != "",
	}
	switch {
	case st.Account == "":
		in.Email, in.Provider = form.Get("email"), home.Provider(form.Get("provider"))
		if in.Email == "" {
			v.showPasswords(http.StatusUnprocessableEntity, "", v.all.Site.BadEmail)
			return
		}
	case st.Provider != home.TPLink:
		v.showPasswords(http.StatusConflict, "", v.t.ChangeElsewhere) // its service informs this hub
		return
	}
	if err := home.CheckPassword(in.Password); err != nil {
		v.showPasswords(http.StatusUnprocessableEntity, "", err.Error())
		return
	}
	ctx, stop := context.WithTimeout(v.r.Context(), askPatience)
	defer stop()
	if err := s.o.Login(ctx, in); err != nil {
		v.showPasswords(http.StatusConflict, "", problem(err))
		return
	}
	if st.Account == "" {
		v.goTo("/?done")
		return
	}
	v.goTo("/passwords?in")
}

// remember adds an earlier password of the account. The same one again changes nothing.
func (s *Site) remember(v *visit) {
	added, err := s.o.Orders.Remember("", []home.Secret{home.NewSecret(v.r.PostForm.Get("password"))})
	switch {
	case err != nil:
		v.showPasswords(http.StatusUnprocessableEntity, "", problem(err))
	case added == 0:
		v.goTo("/passwords?known")
	default:
		v.goTo("/passwords?new")
	}
}
