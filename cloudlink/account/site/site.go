// Package site is the account service's website: pages made on the server, usable without JavaScript, in each language
// of package language. They load nothing from other sites, GET changes nothing, and forms of other sites are refused.
package site

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// Options are what New checks.
type Options struct {
	Service *account.Service
	API     http.Handler // answers POST /; nil for none
	Names   []string     // of this machine, under which the site answers too
	Log     *slog.Logger
}

// Site is the website.
type Site struct {
	s      *account.Service
	api    http.Handler
	names  []string
	log    *slog.Logger
	live   chan struct{} // a slot for each page that follows progress
	secure bool          // people reach it over https
	prefix string        // path below which people reach it, as behind a proxy; empty for none
	above  string        // path of the first page of the site that this is a part of; empty where it is none
	origin string        // of the forms of that site, as browsers state it
	strict bool          // the whole host is this website: browsers may use https for all of it
}

// maxForm is the longest form that is read, in bytes.
const maxForm = 64 << 10

// maxLive is how many pages follow progress by events at once. Further ones are loaded again now and then.
const maxLive = 512

// New checks o. The pages of Handler need nothing else.
func New(o Options) (*Site, error) {
	if o.Service == nil || o.Log == nil {
		return nil, errors.New("website: service and log are needed")
	}
	base, err := url.Parse(o.Service.BaseURL())
	if err != nil {
		return nil, err
	}
	secure := base.Scheme == "https"
	return &Site{
		s: o.Service, api: o.API, names: o.Names, log: o.Log, live: make(chan struct{}, maxLive),
		secure: secure, strict: secure && base.Port() == "", prefix: strings.TrimSuffix(base.EscapedPath(), "/"),
		origin: base.Scheme + "://" + base.Host,
	}, nil
}

// Handler answers the website, and passes POST / on to the API.
func (w *Site) Handler() http.Handler {
	pages := http.NewServeMux()
	page.Assets(pages)
	for pattern, do := range map[string]func(*visit){
		"GET /{$}": w.front, "POST /signin": w.signIn, "POST /signout": w.signOut,
		"GET /register": w.registerForm, "POST /register": w.register,
		"GET /activate": w.activateForm, "POST /activate": w.activate,
		"GET /forgot": w.forgotForm, "POST /forgot": w.forgot,
		"GET /reset": w.resetForm, "POST /reset": w.reset, "GET /reset/done": w.done, "GET /reset/live": w.doneLive,
		"GET /notme": w.notMeForm, "POST /notme": w.notMe,
		"GET /account": w.owned(w.devices), "GET /account/live": w.owned(w.devicesLive),
		"GET /account/hubs": w.owned(w.hubs), "POST /account/hubs/add": w.owned(w.addHub),
		"POST /account/hubs/remove": w.owned(w.removeHub),
		"GET /account/sessions":     w.owned(w.sessions), "POST /account/sessions/end": w.owned(w.endSession),
		"GET /account/password": w.owned(w.passwordForm), "POST /account/password": w.owned(w.changePassword),
		"GET /account/history": w.owned(w.history),
		"/":                    func(v *visit) { v.show(http.StatusNotFound, content{title: v.t.NoPage, body: v.frontLinks()}) },
	} {
		pages.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) { w.visit(rw, r, do) })
	}
	all := http.NewServeMux()
	all.Handle("/", page.OwnForms(w.origin, pages))
	if w.api != nil {
		all.Handle("POST /{$}", w.api)
	}
	if w.above != "" {
		return all // who called At has checked the host and removed the prefix
	}
	return ownHost(w.s.BaseURL(), w.names, page.Strip(w.prefix, all))
}

// Part is where the website is a part of another site.
type Part struct {
	Prefix string // path before the paths of the website, as browsers see it
	Above  string // path of the first page of the other site
	Origin string // of a proxy through which people reach it, such as http://hub.example.org; empty for none
	Secure bool   // people reach it over https
}

// At answers the website as a part of another site, without the API. The other site checks the name of the host, and
// removes the prefix from the path of a request.
func (w *Site) At(p Part) http.Handler {
	at := *w
	at.prefix, at.above, at.origin, at.secure, at.strict, at.api = p.Prefix, p.Above, p.Origin, p.Secure, false, nil
	return at.Handler()
}

// visit is one request for a page.
type visit struct {
	w     *Site
	rw    http.ResponseWriter
	r     *http.Request
	tag   string // of the language
	t     language.Site
	owner *account.Owner // nil but in what owned calls
}

func (w *Site) visit(rw http.ResponseWriter, r *http.Request, do func(*visit)) {
	texts := language.Accepted(r.Header.Get("Accept-Language"))
	v := &visit{w: w, rw: rw, r: r, tag: texts.Tag, t: texts.Site}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			v.show(http.StatusBadRequest, content{title: v.t.BadForm, body: v.frontLinks()})
			return
		}
	}
	do(v)
}

// field returns the value of a field in the body of a form. The query is not read: it is in logs of proxies.
func (v *visit) field(name string) string { return v.r.PostForm.Get(name) }

const cookieLife = 30 * 24 * time.Hour

// The names of the cookies: the token of a browser session, and the ticket of a reset that has just been made.
const (
	sessionCookie = "rekeyd_session"
	ticketCookie  = "rekeyd_ticket"
)

func (v *visit) cookie(name string) string {
	c, err := v.r.Cookie(v.prefixed(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// prefixed returns the name of a cookie: over https with the prefix that binds it to this host, or where it has a path
// of its own to https (RFC 6265bis).
func (v *visit) prefixed(name string) string {
	switch {
	case v.w.secure && v.w.above == "":
		return "__Host-" + name
	case v.w.secure:
		return "__Secure-" + name
	}
	return name
}

// cookiePath is the path of the cookies: as a part of another site, other pages of that site do not get them.
func (w *Site) cookiePath() string {
	if w.above == "" {
		return "/"
	}
	return w.prefix
}

// setCookie sets a cookie that no script can read and no other site's form sends; an empty value takes it away.
func (v *visit) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{
		Name: v.prefixed(name), Value: value, Path: v.w.cookiePath(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: v.w.secure, MaxAge: int(life.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.rw, c)
}

// goTo redirects the browser after a form was processed, so that a reload does not send the form again.
func (v *visit) goTo(path string) {
	v.rw.Header().Set("Cache-Control", "no-store")
	v.rw.Header().Set("Referrer-Policy", "same-origin")
	http.Redirect(v.rw, v.r, v.w.prefix+path, http.StatusSeeOther)
}

// owned returns a handler that calls do for a signed-in owner, and asks other visitors to sign in.
func (w *Site) owned(do func(*visit)) func(*visit) {
	return func(v *visit) {
		o, err := w.s.OwnerOfCookie(v.cookie(sessionCookie))
		if err != nil {
			if v.r.Method == http.MethodGet {
				v.signInForm(http.StatusUnauthorized, v.r.URL.Path, "", v.t.SignInFirst)
			} else {
				v.signInForm(http.StatusUnauthorized, "", "", v.t.SignInFirst)
			}
			return
		}
		v.owner = o
		do(v)
	}
}
