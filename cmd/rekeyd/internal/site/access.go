package site

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/page"
)

const (
	codeLife    = 10 * time.Minute
	sessionLife = 30 * 24 * time.Hour
	mostCodes   = 16 // that wait for their use; further ones replace the oldest
	cookieName  = "rekeyd_house"
)

// access holds who is signed in to the pages of the house, as hashes of codes and cookies. It is lost with the process.
type access struct {
	mu       sync.Mutex // guards both
	codes    map[[32]byte]time.Time
	sessions map[[32]byte]time.Time
}

func hashed(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// newCode returns a code that is good for one sign-in.
func (a *access) newCode(now time.Time) string {
	code := rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.codes == nil {
		a.codes = map[[32]byte]time.Time{}
	}
	var oldest [32]byte
	for k, end := range a.codes {
		if first, ok := a.codes[oldest]; !ok || end.Before(first) {
			oldest = k
		}
	}
	if len(a.codes) >= mostCodes {
		delete(a.codes, oldest)
	}
	a.codes[hashed(code)] = now.Add(codeLife)
	return code
}

// signIn uses a code up, and returns the cookie of a new session; empty for a code that is not good.
func (a *access) signIn(code string, now time.Time) (cookie string) {
	cookie = rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	key := hashed(code)
	end, ok := a.codes[key]
	delete(a.codes, key)
	if !ok || now.After(end) {
		return ""
	}
	if a.sessions == nil {
		a.sessions = map[[32]byte]time.Time{}
	}
	for k, end := range a.sessions {
		if now.After(end) {
			delete(a.sessions, k)
		}
	}
	a.sessions[hashed(cookie)] = now.Add(sessionLife)
	return cookie
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

func (v *visit) cookie() string {
	c, err := v.r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie that no script can read and no other site's form sends; an empty value takes it away.
func (v *visit) setCookie(value string) {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.s.o.Secure,
		MaxAge: int(sessionLife.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

func (s *Site) signInForm(v *visit) { v.showSignIn(http.StatusOK, "") }

func (v *visit) showSignIn(status int, problem string) {
	v.show(status, page.Content{
		Title: v.t.SignIn, Problem: problem, Here: "/signin", Script: true, Body: page.Join(
			page.El("p", v.t.SignInText), page.El("p", page.El("code", "rekeyd open")),
			page.Form("/signin", page.Input(v.t.Code, "token", "text", "one-time-code", "",
				` id="token" spellcheck="false" autocapitalize="characters" data-go="1"`), page.El("button", v.t.GoOn)),
		),
	})
}

func (s *Site) signIn(v *visit) {
	code, _ := account.FindCode(v.r.PostForm.Get("token"))
	cookie := s.access.signIn(code, time.Now())
	if cookie == "" {
		v.showSignIn(http.StatusUnprocessableEntity, v.t.WrongCode)
		return
	}
	v.setCookie(cookie)
	v.goTo("/")
}

func (s *Site) signOut(v *visit) {
	s.access.signOut(v.cookie())
	v.setCookie("")
	v.goTo("/")
}
