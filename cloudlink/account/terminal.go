package account

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// A terminal is a browser or an app of an owner. At a login it gets a cookie (OWASP Authentication Cheat Sheet,
// "Device Cookies"), which is a MAC over the account and the terminal. With the cookie it has a small limit of
// guesses of its own, so strangers who lock the account with theirs do not lock out its owner. The cookie opens
// nothing without the password.
//
// A browser's terminal has no name; an app's is its terminalUUID. That alone proves nothing: clients send it with
// every request, some share one, and a network address is shared by neighbours. An app without a cookie store stays
// signed in during a lock by its token and its refresh token, which are bound to the terminalUUID; and a live session
// counts as a cookie where its owner gives the password again.

// terminalGuesses is how many wrong passwords lock one terminal.
const terminalGuesses = 5

// terminalLife is how long a cookie is good after the login.
const terminalLife = 365 * 24 * time.Hour

// knownTerminal is the content of a cookie: its terminal signed in to the account at an epoch.
type knownTerminal struct {
	account string
	epoch   uint64
	at      int64  // of the login, Unix seconds
	id      string // the same in each of the terminal's cookies
}

// cookie returns the terminal's cookie; terminal is the terminal's own name.
func (k knownTerminal) cookie(id *wire.Identity, terminal string) string {
	text := fmt.Sprintf("%s.%d.%d.%s", k.account, k.epoch, k.at, k.id)
	return text + "." + base64.RawURLEncoding.EncodeToString(id.MAC("terminal", k.account, terminal, text))
}

// readTerminalCookie returns the content of a cookie; ok is false for one that this service has not made for the
// terminal.
func (s *Service) readTerminalCookie(terminal, cookie string) (k knownTerminal, ok bool) {
	parts := strings.Split(cookie, ".")
	if len(parts) != 5 || len(cookie) > 256 {
		return k, false
	}
	k.account, k.id = parts[0], parts[3]
	k.epoch, _ = strconv.ParseUint(parts[1], 10, 64) // another number is another cookie
	k.at, _ = strconv.ParseInt(parts[2], 10, 64)
	return k, hmac.Equal([]byte(cookie), []byte(k.cookie(s.id, terminal)))
}

// newTerminalCookie returns a cookie for the terminal's next login. The ID of the old one is kept: more logins do not
// bring more guesses.
func (s *Service) newTerminalCookie(a Account, terminal, old string, now time.Time) string {
	k, ok := s.readTerminalCookie(terminal, old)
	if !ok || k.account != a.ID {
		k.id = rand.Text()
	}
	return knownTerminal{a.ID, a.Epoch, now.Unix(), k.id}.cookie(s.id, terminal)
}

// limitOf returns the name under which the guesses of a visitor's terminal count, if it signed in to the address's
// account before; else "".
func (s *Service) limitOf(email string, v Visitor) string {
	if v.entry != "" {
		return "session " + v.entry
	}
	k, ok := s.readTerminalCookie(v.Terminal, v.TerminalCookie)
	age := s.Now().Sub(time.Unix(k.at, 0))
	if !ok || v.Device || age > terminalLife || age < -clockSkew { // or made while the clock was ahead
		return ""
	}
	a, err := s.st.Account(k.account)
	if err != nil || Normal(a.Email) != email || k.epoch < a.TerminalsSince {
		return ""
	}
	return "terminal " + k.id
}

// terminalCookieName is the cookie's name in HTTP; over https with the prefix that binds it to this host (RFC 6265bis).
func (s *Service) terminalCookieName() string {
	if strings.HasPrefix(s.base, "https://") {
		return "__Host-rekeyd_terminal"
	}
	return "rekeyd_terminal"
}

// TerminalCookie returns the terminal's cookie in a request; empty for none.
func (s *Service) TerminalCookie(r *http.Request) string {
	c, err := r.Cookie(s.terminalCookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

// SetTerminalCookie gives the terminal its cookie with the answer to a login.
func (s *Service) SetTerminalCookie(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: s.terminalCookieName(), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.base, "https://"), MaxAge: int(terminalLife.Seconds()),
	})
}
