package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Visitor is who presents an e-mail address and a password: an owner, or one of the account's devices.
type Visitor struct {
	From   string // network address, as Network returns it
	Device bool   // counts for itself: devices that still hold an old password must not lock their owner out
	// A terminal that signed in before has a cookie for its name, or a live session with this entry.
	Terminal, TerminalCookie, entry string
}

// Authenticate returns the account that email and password open. A wrong password and an unknown address get the same
// answer after the same time. Too many failures lock the address, whether or not it has an account; a terminal that
// signed in before has a limit of its own.
func (s *Service) Authenticate(ctx context.Context, email, password string, v Visitor) (Account, error) {
	key := Normal(email)
	if len(key) > 254 || len(password) > 256 {
		return Account{}, errPassword
	}
	guesses, who, queue := s.logins, key, v.From
	known := s.limitOf(key, v)
	switch {
	case v.Device:
		who, queue = "device "+key, v.From+" devices" // an owner does not wait behind their own house
	case known != "":
		guesses, who, queue = s.terminals, known, known // nor behind strangers of the same network address
	}
	now := s.Now()
	if guesses.locked(who, now) {
		return Account{}, Refused(v1.Locked, "Too many failed attempts: locked for "+inWords(lockoutLife))
	}
	if known == "" && s.sprays.Full(v.From, now) {
		s.throttled("login", v.From)
		return Account{}, Refused(v1.RateLimit, "Too many attempts from this address: try again later")
	}
	if err := s.waiting.enter(ctx, queue); err != nil {
		return Account{}, err
	}
	defer s.waiting.leave(queue)
	a, err := s.st.AccountByEmail(key)
	if err != nil && !errors.Is(err, home.ErrNotFound) {
		return Account{}, err
	}
	ok, outdated, err := s.hash.Verify(ctx, a.Hash.Reveal(), password) // of an unknown address the hash is empty
	if err != nil {
		return Account{}, err
	}
	if !ok || a.ID == "" || a.Closed {
		waits, err := s.registered(ctx, key, password)
		switch {
		case err != nil:
			return Account{}, err
		case waits:
			return Account{}, Refused(NotActivated, "Activate the account with the link in the mail")
		}
		guesses.failed(who, s.Now())
		s.sprays.Take(v.From, s.Now())
		return Account{}, errPassword
	}
	guesses.open(who)
	if outdated {
		return a, s.rehash(ctx, a, password)
	}
	return a, nil
}

// inWords writes a duration for people.
func inWords(d time.Duration) string {
	n, unit := int(d/time.Minute), "minute"
	if d%time.Hour == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprint(max(n, 1), " ", unit)
}

// rehash stores the hash of a password that was just verified with the parameters of today.
func (s *Service) rehash(ctx context.Context, a Account, password string) error {
	phc, err := s.hash.Hash(ctx, password)
	if err != nil {
		return err
	}
	if err := s.st.Rehash(a.ID, a.Epoch, home.NewSecret(phc)); !errors.Is(err, ErrEpoch) {
		return err
	}
	return nil // the password was changed meanwhile
}

// hashed is the form in which a token is stored.
func hashed(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// newToken returns a token that names its account, with 130 random bits behind it.
func newToken(account string) string { return account + "-" + rand.Text() }

// cookieKey is the key under which the session of a cookie is stored. No token has a hash of this form, so a cookie
// that is shown as a token finds no session, and a token that is shown as a cookie finds none either.
func cookieKey(cookie string) string { return "cookie-" + hashed(cookie) }

// Login is the request of an app or browser to sign in.
type Login struct {
	Email, Password string
	Door, Terminal  string
	From            string // network address, as Network returns it
	TerminalCookie  string // that the terminal got at its last login
	Refresh         bool   // a refresh token is wanted
	Cookie          bool   // the token becomes a browser's cookie, for OwnerOfCookie and not for Owner
}

// SignedIn is the answer to a login.
type SignedIn struct {
	Account        Account
	Token, Refresh string
	TerminalCookie string // for the terminal's next login
}

// Login opens a session. The errors are those of Authenticate.
func (s *Service) Login(ctx context.Context, l Login) (SignedIn, error) {
	v := Visitor{From: l.From, Terminal: l.Terminal, TerminalCookie: l.TerminalCookie}
	a, err := s.Authenticate(ctx, l.Email, l.Password, v)
	if err != nil {
		return SignedIn{}, err
	}
	now := s.Now()
	in := SignedIn{
		Account: a, Token: newToken(a.ID), TerminalCookie: s.newTerminalCookie(a, l.Terminal, l.TerminalCookie, now),
	}
	first := Session{
		Key: hashed(in.Token), Account: a.ID, Entry: wire.NewID(), Door: l.Door, Terminal: l.Terminal, At: now,
		Expires: now.Add(sessionLife),
	}
	if l.Cookie {
		first.Key = cookieKey(in.Token)
	}
	all := []Session{first}
	if l.Refresh {
		in.Refresh = newToken(a.ID)
		second := first
		second.Key, second.Refresh, second.Expires = hashed(in.Refresh), true, now.Add(refreshLife)
		all = append(all, second)
	}
	err = s.st.OpenSession(a.Epoch, all...)
	if errors.Is(err, ErrEpoch) {
		err = errPassword
	}
	return in, err
}

// errSession is the answer to a token without a session.
var errSession = errors.New("no session")

// session returns the live session of a token, which is stored under key; errSession when there is none.
func (s *Service) session(token, key string, refresh bool) (Account, Session, error) {
	id, _, ok := strings.Cut(token, "-")
	if !ok || len(token) > 128 {
		return Account{}, Session{}, errSession
	}
	found, err := s.st.Session(id, key)
	if err == nil && (found.Refresh != refresh || s.Now().After(found.Expires)) {
		err = errSession
	}
	var a Account
	if err == nil {
		a, err = s.st.Account(id)
	}
	if errors.Is(err, home.ErrNotFound) {
		err = errSession
	}
	return a, found, err
}

// Renew opens a session with a refresh token. After a reset there is none to renew. Error: v1.RefreshExpired.
func (s *Service) Renew(refreshToken, terminal string) (token string, err error) {
	a, old, err := s.session(refreshToken, hashed(refreshToken), true)
	if err == nil && old.Terminal != terminal {
		err = errSession
	}
	if err == nil {
		token = newToken(a.ID)
		err = s.st.RenewSession(old.Key, Session{
			Key: hashed(token), Account: a.ID, Entry: old.Entry, Door: old.Door, Terminal: terminal, At: old.At,
			Expires: s.Now().Add(sessionLife),
		})
	}
	if errors.Is(err, errSession) || errors.Is(err, home.ErrNotFound) {
		return "", Refused(v1.RefreshExpired, "Refresh token expired")
	}
	return token, err
}
