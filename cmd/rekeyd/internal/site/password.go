package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// Passwords stores the hash of the password of these pages.
type Passwords interface {
	PagePassword() (home.Secret, error) // zero where none is set
	SetPagePassword(hash home.Secret) error
}

// The password of these pages: no device holds it, so it may have any character that a keyboard has.
const (
	shortestPassword = 10  // in characters
	longestPassword  = 256 // in bytes
)

// The limits on wrong passwords. An owner who meets them still has the link of `rekeyd open`.
const (
	guessesEach   = 10 // of one network address, and from then on as many in guessWindow
	guessesOfAll  = 60
	guessWindow   = time.Hour
	hashPatience  = 10 * time.Second // for a turn in the queue of hashes
	allAddresses  = "all"            // the key of the limit on all addresses; Network returns no such word
	hashesOfPages = 1                // at once, so that logins to accounts do not wait behind guesses
)

// userName is the name under which a password manager keeps the password.
const userName page.Markup = `<input type="text" name="user" aria-label="rekeyd" autocomplete="username" ` +
	`value="rekeyd" hidden>`

var (
	errTooMany = errors.New("too many wrong passwords")
	errWrong   = errors.New("wrong password")
)

// checkNew returns the reason why a password is refused; nil for a good one.
func checkNew(password string) error {
	switch {
	case !utf8.ValidString(password),
		utf8.RuneCountInString(password) < shortestPassword, len(password) > longestPassword:
		return fmt.Errorf("want at least %d characters", shortestPassword)
	case strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("it contains a control character")
	case account.IsCommon(strings.ToLower(password)):
		return errors.New("it is one of those that are tried first")
	}
	return nil
}

// SetPassword replaces the password of the pages, and signs every browser out.
func (s *Site) SetPassword(ctx context.Context, password home.Secret) error {
	const op = "set the password of the pages"
	if err := checkNew(password.Reveal()); err != nil {
		return &home.Error{Op: op, Err: err, Hint: "choose another password"}
	}
	hash, err := s.o.Hasher.Hash(ctx, password.Reveal())
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := s.o.Passwords.SetPagePassword(home.NewSecret(hash)); err != nil {
		return err
	}
	s.access.endAll()
	s.changes.announce() // pages that are open ask again who reads them
	return nil
}

// verify returns errWrong or errTooMany for a password that does not open the pages. Where none is set, it takes the
// same time. Every attempt counts before it is compared, so that many at once get no more guesses.
func (s *Site) verify(ctx context.Context, from, password string) error {
	key, now := account.Network(from), time.Now()
	if !s.guesses.Take(key, now) || !s.allGuesses.Take(allAddresses, now) {
		s.o.Log.Warn("too many wrong passwords for the pages", "from", key)
		return errTooMany
	}
	if len(password) > longestPassword {
		return errWrong
	}
	ctx, stop := context.WithTimeout(ctx, hashPatience)
	defer stop()
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return errTooMany
	}
	hash, err := s.o.Passwords.PagePassword()
	if err != nil {
		return err
	}
	good, _, err := s.o.Hasher.Verify(ctx, hash.Reveal(), password)
	switch {
	case err != nil:
		return err
	case !good:
		return errWrong
	}
	s.guesses.Forget(key)
	return nil
}

// passwordProblem is the text for an error of verify, with its status.
func (v *visit) passwordProblem(err error) (int, string) {
	switch {
	case errors.Is(err, errWrong):
		return http.StatusUnprocessableEntity, v.t.WrongPassword
	case errors.Is(err, errTooMany):
		return http.StatusTooManyRequests, v.t.TooManyGuesses
	}
	v.s.o.Log.Error("password not compared", "err", err)
	return http.StatusInternalServerError, v.t.Unreadable
}

// hasPassword reports whether a password is set.
func (s *Site) hasPassword() bool {
	hash, err := s.o.Passwords.PagePassword()
	if err != nil {
		s.o.Log.Error("password of the pages not read", "err", err)
	}
	return err != nil || !hash.IsZero()
}

// accessForm is the page of the password and the browsers.
func (s *Site) accessForm(v *visit) {
	if !v.signed {
		v.showSignIn(http.StatusUnauthorized, v.t.SignInFirst)
		return
	}
	v.showAccess(http.StatusOK, "")
}

func (v *visit) showAccess(status int, problem string) {
	t := v.all.Site
	c := page.Content{Title: v.t.Access, Problem: problem, Here: "/access", Script: true}
	if v.r.URL.Query().Has("done") {
		c.Result = v.t.PasswordSet
	}
	var fields, more page.Markup
	if v.s.hasPassword() {
		fields = page.Input(t.OldPassword, "old", "password", "current-password", "", "")
		more = page.El("p", v.t.PasswordLost, " ", page.El("code", "rekeyd open --set-password"))
	} else {
		c.Title = v.t.ChoosePassword
		more = page.El("p", page.Link("/", v.t.NotNow))
	}
	strength := page.Attr("data-weak", t.Strength[0]) + page.Attr("data-fair", t.Strength[1]) +
		page.Attr("data-strong", t.Strength[2])
	c.Body = page.Join(page.El("p", v.t.AccessText),
		page.Form("/access", userName, fields,
			page.Input(t.NewPassword, "password", "password", "new-password", "",
				` id="new" aria-describedby="rule strength"`),
			page.El(`p id="rule" class="hint"`, v.t.PasswordRule(shortestPassword)),
			page.El(`p id="strength" class="hint" aria-live="polite"`+strength),
			page.Input(t.OnceMore, "again", "password", "new-password", "", ""), page.El("button", v.t.Save)), more,
		page.El("h2", v.t.Browsers), page.El("p", v.t.BrowsersText(v.s.access.count(time.Now()))),
		page.Form("/access/end", page.El(`button class="plain"`, v.t.EndBrowsers)))
	v.show(status, c)
}

// changePassword sets the password of the pages. The first needs a sign-in by link, another one the present password.
// This browser stays signed in, all others are signed out.
func (s *Site) changePassword(v *visit) {
	form := v.r.PostForm
	password := form.Get("password")
	if password != form.Get("again") {
		v.showAccess(http.StatusUnprocessableEntity, v.all.Site.Differ)
		return
	}
	if checkNew(password) != nil {
		v.showAccess(http.StatusUnprocessableEntity, v.t.PasswordRule(shortestPassword))
		return
	}
	if s.hasPassword() {
		if err := s.verify(v.r.Context(), v.r.RemoteAddr, form.Get("old")); err != nil {
			v.showAccess(v.passwordProblem(err))
			return
		}
	}
	if err := s.SetPassword(v.r.Context(), home.NewSecret(password)); err != nil {
		s.o.Log.Error("password of the pages not set", "err", err)
		v.showAccess(http.StatusInternalServerError, v.t.Unreadable)
		return
	}
	v.setCookie(s.access.begin(time.Now()))
	v.goTo("/access?done")
}

// endBrowsers signs every browser out, this one too.
func (s *Site) endBrowsers(v *visit) {
	s.access.endAll()
	s.changes.announce()
	v.setCookie("")
	v.goTo("/signin")
}
