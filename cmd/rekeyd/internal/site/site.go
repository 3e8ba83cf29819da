// Package site is the website of a hub: the pages of the house, and below /account/ those of the account service that
// runs in the same daemon. Both have the look of package page. GET changes nothing, every page works without
// JavaScript, and what is shown comes from one read of the engine's house.
package site

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/language"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// Orders are what an owner who is signed in can order.
type Orders interface {
	Bind([]home.DeviceID) error
	BindOurs([]home.DeviceID) error
	Unbind([]home.DeviceID) error
	Rekey(ids []home.DeviceID, restart bool) error
	AllowCleartext([]home.DeviceID) error
	ForbidCleartext([]home.DeviceID) error
	Probe(context.Context, []home.DeviceID) ([]daemon.Probed, error)
	Forget([]home.DeviceID) error
	Rename(id home.DeviceID, name string) error
	Remember(email string, passwords []home.Secret) (added int, err error)
}

// Options are what New checks.
type Options struct {
	Status    func() (daemon.Status, error) // without the e-mail address
	History   func(limit int) ([]home.Event, error)
	Orders    Orders
	Passwords Passwords
	Login     func(context.Context, daemon.Login) error // without an e-mail address to the account that the hub has
	Hasher    *account.Hasher                           // of passwords; shared with the account service
	API       http.Handler                              // answers /v1/
	Account   http.Handler                              // the account's pages, below AccountPath; nil for none
	Names     []string                                  // of this machine, under which the site answers
	Secure    bool                                      // people reach it over https
	Base      Base                                      // where people open it, through a proxy
	Log       *slog.Logger
}

// AccountPath is the path of the account's pages.
const AccountPath = "/account"

// Site is the website.
type Site struct {
	o                   Options
	changes             changes
	access              access
	live                chan struct{} // a slot for each page that follows the house
	hashing             chan struct{} // a slot for each password that is compared
	guesses, allGuesses *account.Limiter
}

// maxLive is how many pages follow the house at once. Further ones are loaded again now and then.
const maxLive = 64

// New checks o.
func New(o Options) (*Site, error) {
	if o.Status == nil || o.History == nil || o.Orders == nil || o.API == nil || o.Log == nil {
		return nil, errors.New("site: status, history, orders, API and log are needed")
	}
	if o.Passwords == nil || o.Hasher == nil || o.Login == nil {
		return nil, errors.New("site: passwords, a hasher and a login are needed")
	}
	return &Site{
		o: o, access: newAccess(), live: make(chan struct{}, maxLive), hashing: make(chan struct{}, hashesOfPages),
		guesses: account.NewLimiter(guessesEach, guessWindow), allGuesses: account.NewLimiter(guessesOfAll, guessWindow),
	}, nil
}

// Changed has the pages that are open show the house as it is now.
func (s *Site) Changed() { s.changes.announce() }

// Changes returns a channel that is closed at the next change of the house.
func (s *Site) Changes() <-chan struct{} { return s.changes.wait() }

// NewCode returns a code that signs one browser in, once, within ten minutes.
func (s *Site) NewCode() string { return s.access.newCode(time.Now()) }

// Handler answers the website and the API.
func (s *Site) Handler() http.Handler {
	pages := http.NewServeMux()
	page.Assets(pages)
	for pattern, do := range map[string]func(*visit){
		"GET /{$}": s.house, "GET /live": s.houseLive, "GET /history": s.history,
		"GET /device/{id}": s.device, "POST /device/{id}/{order}": s.order,
		"POST /bind-ours": s.bindOurs, "POST /rekey": s.rekey,
		"GET /signin": s.signInForm, "POST /signin": s.signIn, "POST /signout": s.signOut,
		"GET /passwords": s.passwordsForm, "POST /passwords/new": s.login, "POST /passwords/earlier": s.remember,
		"GET /access": s.accessForm, "POST /access": s.changePassword, "POST /access/end": s.endBrowsers,
		"/": func(v *visit) { v.show(http.StatusNotFound, page.Content{Title: v.t.NotFound}) },
	} {
		pages.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.visit(w, r, do) })
	}
	all := http.NewServeMux()
	all.Handle("/", page.OwnForms(s.o.Base.Origin, pages))
	api := func(w http.ResponseWriter, r *http.Request) {
		if v := s.newVisit(w, r); !v.mayRead() {
			http.Error(w, "sign in first, or read this on the hub itself", http.StatusUnauthorized)
			return
		}
		s.o.API.ServeHTTP(w, r)
	}
	all.HandleFunc("/v1/", api)
	all.HandleFunc("GET /metrics", api)
	all.Handle("GET /healthz", s.o.API)
	all.Handle("GET /readyz", s.o.API)
	if s.o.Account != nil {
		all.Handle(AccountPath+"/", http.StripPrefix(AccountPath, s.o.Account)) // which has a sign-in of its own
		all.Handle("GET "+AccountPath, http.RedirectHandler(s.o.Base.path(AccountPath+"/"), http.StatusSeeOther))
	}
	return s.guard(page.Strip(s.o.Base.Prefix, all))
}

// guard refuses requests under a name that is not this machine's: see home.OwnHost.
func (s *Site) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !home.OwnHost(home.HostOf(r), append([]string{s.o.Base.Host}, s.o.Names...)...) {
			http.Error(w, "this hub does not know that name: open it by address, or start it with: --host NAME",
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// visit is one request for a page.
type visit struct {
	s      *Site
	w      http.ResponseWriter
	r      *http.Request
	all    *language.Texts
	t      language.House
	signed bool
}

func (s *Site) newVisit(w http.ResponseWriter, r *http.Request) *visit {
	texts := language.Accepted(r.Header.Get("Accept-Language"))
	v := &visit{s: s, w: w, r: r, all: texts, t: texts.House}
	v.signed = s.access.signedIn(v.cookie(), time.Now())
	return v
}

// maxForm is the longest form that is read, in bytes.
const maxForm = 16 << 10

func (s *Site) visit(w http.ResponseWriter, r *http.Request, do func(*visit)) {
	v := s.newVisit(w, r)
	free := r.URL.Path == "/signin"
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.ParseForm() != nil {
			v.show(http.StatusBadRequest, page.Content{Title: v.t.NotFound})
			return
		}
		if !free && !v.signed {
			v.showSignIn(http.StatusUnauthorized, v.t.SignInFirst)
			return
		}
	}
	if !free && !v.mayRead() {
		v.showSignIn(http.StatusUnauthorized, v.t.SignInFirst)
		return
	}
	do(v)
}

// mayRead reports whether a visitor may see the house: on the hub itself, or signed in. A request that a proxy passed
// on comes from elsewhere. A proxy on the hub may leave no trace in a request, so with a Base everybody signs in.
func (v *visit) mayRead() bool {
	if v.signed || v.s.o.Base.URL != "" {
		return v.signed
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if v.r.Header.Get(h) != "" {
			return false
		}
	}
	host, _, _ := net.SplitHostPort(v.r.RemoteAddr)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// show writes a page in the frame of the site.
func (v *visit) show(status int, c page.Content) {
	c.Lang, c.Skip, c.Label, c.Footer, c.Warning = v.all.Tag, v.t.Skip, v.t.Nav, page.El("p", v.t.Footer), ""
	if v.s.plain(v.r) {
		c.Warning = v.all.Site.Plain
	}
	c.Nav = []page.Item{{Path: "/", Text: v.t.House}, {Path: "/history", Text: v.t.History}}
	if v.s.o.Account != nil {
		c.Nav = append(c.Nav, page.Item{Path: AccountPath + "/", Text: v.t.Account})
	}
	if v.signed {
		c.Nav = append(c.Nav,
			page.Item{Path: "/passwords", Text: v.t.Passwords}, page.Item{Path: "/access", Text: v.t.Access})
		c.Account = page.Form("/signout", page.El(`button class="plain"`, v.t.SignOut))
	} else {
		c.Nav = append(c.Nav, page.Item{Path: "/signin", Text: v.t.SignIn})
	}
	c.Secure = v.s.secure()
	page.Write(v.w, status, v.s.o.Base.Prefix, c)
}

// plain reports whether a password goes over a network in the clear.
func (s *Site) plain(r *http.Request) bool {
	if s.o.Base.URL != "" {
		return !s.o.Base.Secure
	}
	return page.Plain(r, s.o.Secure)
}

// goTo redirects the browser after a form was processed, so that a reload does not send the form again.
func (v *visit) goTo(path string) {
	page.Header(v.w.Header(), v.all.Tag)
	http.Redirect(v.w, v.r, v.s.o.Base.path(path), http.StatusSeeOther)
}
