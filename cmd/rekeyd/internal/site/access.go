package site

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/page"
)

const (
	codeLife     = 10 * time.Minute
	sessionLife  = 30 * 24 * time.Hour
	mostCodes    = 16 // that wait for their use; further ones replace the oldest
	mostSessions = 64 // likewise
	cookieName   = "rekeyd_house"
)

// access holds who is signed in to the pages of the house, as hashes of codes and cookies with their ends. It is lost
// with the process.
type access struct {
	mu       sync.Mutex // guards both
	codes    map[[32]byte]time.Time
	sessions map[[32]byte]time.Time
}

func newAccess() access {
	return access{codes: map[[32]byte]time.Time{}, sessions: map[[32]byte]time.Time{}}
}

func hashed(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// keep adds a random text to a set, in place of the one that ends first where there are most, and returns it.
func keep(set map[[32]byte]time.Time, end time.Time, most int) string {
	if len(set) >= most {
		var first [32]byte
		for k, end := range set {
			if at, ok := set[first]; !ok || end.Before(at) {
				first = k
			}
		}
		delete(set, first)
	}
	text := rand.Text()
	set[hashed(text)] = end
	return text
}

// newCode returns a code that is good for one sign-in.
func (a *access) newCode(now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return keep(a.codes, now.Add(codeLife), mostCodes)
}

// useCode uses a code up, and reports whether it was good.
func (a *access) useCode(code string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := hashed(code)
	end, ok := a.codes[key]
	delete(a.codes, key)
	return ok && now.Before(end)
}

// begin returns the cookie of a new session.
func (a *access) begin(now time.Time) (cookie string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return keep(a.sessions, now.Add(sessionLife), mostSessions)
}

func (a *access) signedIn(cookie string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	end, ok := a.sessions[hashed(cookie)]
	return ok && cookie != "" && now.Before(end)
}

func (a *access) signOut(cookie string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, hashed(cookie))
}

// endAll ends all sessions and codes.
func (a *access) endAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.sessions)
	clear(a.codes)
}

// count returns the number of sessions.
func (a *access) count(now time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, end := range a.sessions {
		if now.Before(end) {
			n++
		}
	}
	return n
}

// cookieName is the name of the session's cookie: over https with the prefix that binds it to this host (RFC 6265bis).
func (s *Site) cookieName() string {
	switch {
	case s.secure() && s.o.Base.Prefix == "":
		return "__Host-" + cookieName
	case s.secure():
		return "__Secure-" + cookieName // the path keeps the other prefix from it
	}
	return cookieName
}

func (s *Site) secure() bool { return s.o.Secure || s.o.Base.Secure }

func (v *visit) cookie() string {
	c, err := v.r.Cookie(v.s.cookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie that no script can read and no other site's form sends; an empty value takes it away.
func (v *visit) setCookie(value string) {
	c := &http.Cookie{
		Name: v.s.cookieName(), Value: value, Path: v.s.o.Base.path("/"), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: v.s.secure(), MaxAge: int(sessionLife.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

func (s *Site) signInForm(v *visit) { v.showSignIn(http.StatusOK, "") }

// showSignIn asks for the password of the pages or for a code, whether or not a password is set: a stranger does not
// learn that.
func (v *visit) showSignIn(status int, problem string) {
	next := page.Hidden("next", v.next())
	v.show(status, page.Content{
		Title: v.t.SignIn, Problem: problem, Here: "/signin", Script: true, Body: page.Join(
			page.El("p", v.t.SignInText),
			page.Form("/signin", userName, page.Input(v.t.PagePassword, "password", "password", "current-password", "", ""),
				next, page.El("button", v.t.GoOn)),
			page.El("h2", v.t.WithoutPassword), page.El("p", v.t.CodeText), page.El("p", page.El("code", "rekeyd open")),
			page.Form("/signin", page.Input(v.t.Code, "token", "text", "one-time-code", "",
				` id="token" spellcheck="false" autocapitalize="characters" data-go="1"`), next, page.El("button", v.t.GoOn)),
		),
	})
}

// next is the path to which a sign-in leads: of the page that was asked for, of that with the button that was pressed,
// or of the form before.
func (v *visit) next() string {
	next := v.r.URL.EscapedPath()
	switch {
	case next == "/signin":
		next = v.r.PostForm.Get("next")
	case v.r.Method == http.MethodPost:
		next = path.Dir(next)
	}
	// Only a path: "//host" and "/\host" lead a browser to another site.
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.Contains(u.Path, `\`) || u.Path == "/signin" || u.Path == "/live" {
		return "/"
	}
	return u.EscapedPath()
}

func (s *Site) signIn(v *visit) {
	now := time.Now()
	if token := v.r.PostForm.Get("token"); token != "" {
		if code, _ := account.FindCode(token); !s.access.useCode(code, now) {
			v.showSignIn(http.StatusUnprocessableEntity, v.t.WrongCode)
			return
		}
		v.setCookie(s.access.begin(now))
		if !s.hasPassword() {
			v.goTo("/access") // the first password
			return
		}
	} else {
		if err := s.verify(v.r.Context(), v.r.RemoteAddr, v.r.PostForm.Get("password")); err != nil {
			v.showSignIn(v.passwordProblem(err))
			return
		}
		v.setCookie(s.access.begin(now))
	}
	v.goTo(v.next())
}

func (s *Site) signOut(v *visit) {
	s.access.signOut(v.cookie())
	v.setCookie("")
	v.goTo("/")
}
