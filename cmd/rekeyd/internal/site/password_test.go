package site_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const goodPassword = "a long password of the hub"

// elsewhere is a browser on another machine of the network.
func elsewhere(t *testing.T, h *house) *browser {
	b := open(t, h)
	b.from, b.host, b.origin = "192.0.2.7:5", "192.0.2.1:7353", "http://192.0.2.1:7353"
	return b
}

func (b *browser) signIn(password string) int {
	b.t.Helper()
	return b.do(http.MethodPost, "/signin", url.Values{"password": {password}}).Code
}

func TestTheFirstPasswordIsChosenAfterASignInByLink(t *testing.T) {
	b := elsewhere(t, &house{status: daemon.Status{Account: "a"}})
	b.shows(b.do(http.MethodGet, "/access", nil), http.StatusUnauthorized, "Sign in to go on.")
	set := url.Values{"password": {goodPassword}, "again": {goodPassword}}
	b.shows(b.do(http.MethodPost, "/access", set), http.StatusUnauthorized)
	w := b.do(http.MethodPost, "/signin", url.Values{"token": {b.site.NewCode()}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/access" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	b.shows(b.do(http.MethodGet, "/access", nil), http.StatusOK, "Choose a password for this hub", "Not now")
	for _, bad := range []url.Values{
		{"password": {goodPassword}, "again": {goodPassword + "x"}},
		{"password": {"short"}, "again": {"short"}},
		{"password": {"password12345"}, "again": {"password12345"}},
		{"password": {"with\x00control"}, "again": {"with\x00control"}},
		{"password": {strings.Repeat("xyz1", 65)}, "again": {strings.Repeat("xyz1", 65)}},
	} {
		b.shows(b.do(http.MethodPost, "/access", bad), http.StatusUnprocessableEntity)
	}
	if w := b.do(http.MethodPost, "/access", set); w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.shows(b.do(http.MethodGet, "/access?done", nil), http.StatusOK, "The password is set", "1 browser is signed in")
	// From now on the present one is needed.
	b.shows(b.do(http.MethodPost, "/access", set), http.StatusUnprocessableEntity, "The password is wrong.")
	set.Set("old", goodPassword)
	if w := b.do(http.MethodPost, "/access", set); w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.cookie = ""
	if code := b.signIn(goodPassword); code != http.StatusSeeOther {
		t.Errorf("the new password: %d", code)
	}
}

func TestANewPasswordSignsEveryOtherBrowserOut(t *testing.T) {
	b := elsewhere(t, &house{status: daemon.Status{Account: "a"}})
	set := func() {
		t.Helper()
		if err := b.site.SetPassword(t.Context(), home.NewSecret(goodPassword)); err != nil {
			t.Fatal(err)
		}
	}
	set()
	if code := b.signIn(goodPassword); code != http.StatusSeeOther {
		t.Fatalf("%d", code)
	}
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK)
	code := b.site.NewCode()
	set() // on the terminal
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusUnauthorized)
	b.shows(b.do(http.MethodPost, "/signin", url.Values{"token": {code}}), http.StatusUnprocessableEntity)
	if err := b.site.SetPassword(t.Context(), home.NewSecret("short")); home.HintOf(err) == "" {
		t.Errorf("a short one: %v", err)
	}
	other := *b
	other.signIn(goodPassword)
	b.signIn(goodPassword)
	b.do(http.MethodPost, "/access/end", nil)
	other.shows(other.do(http.MethodGet, "/", nil), http.StatusUnauthorized)
}

// A stranger learns neither whether there is a password nor, with many guesses, the password.
func TestGuessesAreFewAndReadTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		without, with := elsewhere(t, &house{}), openWithLog(t, &house{}, &log)
		with.from, with.host, with.origin = without.from, without.host, without.origin
		if err := with.site.SetPassword(t.Context(), home.NewSecret(goodPassword)); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			guess := url.Values{"password": {fmt.Sprintf("guess number %d", i)}}
			a, b := without.do(http.MethodPost, "/signin", guess), with.do(http.MethodPost, "/signin", guess)
			if a.Code != http.StatusUnprocessableEntity || a.Code != b.Code || a.Body.String() != b.Body.String() {
				t.Fatalf("guess %d: %d and %d", i, a.Code, b.Code)
			}
		}
		if code := with.signIn(goodPassword); code != http.StatusTooManyRequests {
			t.Errorf("the eleventh: %d", code)
		}
		with.from = "192.0.2.8:5"
		if code := with.signIn(goodPassword); code != http.StatusSeeOther {
			t.Errorf("from another address: %d", code)
		}
		with.cookie = ""
		for i := range 100 {
			with.from = fmt.Sprintf("192.0.2.%d:5", 20+i%100)
			with.signIn("a wrong password")
		}
		if code := with.signIn(goodPassword); code != http.StatusTooManyRequests {
			t.Errorf("after guesses from many addresses: %d", code)
		}
		w := with.do(http.MethodPost, "/signin", url.Values{"token": {with.site.NewCode()}})
		if w.Code != http.StatusSeeOther {
			t.Errorf("the owner's code: %d", w.Code)
		}
		time.Sleep(time.Hour)
		with.cookie = ""
		if code := with.signIn(goodPassword); code != http.StatusSeeOther {
			t.Errorf("an hour later: %d", code)
		}
		for _, secret := range []string{goodPassword, "guess number", "argon2id"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has %q", secret)
			}
		}
	})
}

// A sign-in leads back to the page that was asked for, and never to another site.
func TestASignInLeadsToAPageOfThisSite(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{bound("lamp", home.Current, "")}}}
	b := elsewhere(t, h)
	if err := b.site.SetPassword(t.Context(), home.NewSecret(goodPassword)); err != nil {
		t.Fatal(err)
	}
	b.shows(b.do(http.MethodGet, "/device/lamp", nil), http.StatusUnauthorized, `name="next" value="/device/lamp"`)
	for next, want := range map[string]string{
		"/device/lamp": "/device/lamp", "": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/",
		"/%2f/evil.example": "/", "/signin": "/", "javascript:alert(1)": "/", "/%5cevil.example": "/", "evil": "/",
	} {
		b.cookie = ""
		w := b.do(http.MethodPost, "/signin", url.Values{"password": {goodPassword}, "next": {next}})
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestTheCookieIsForThisSiteOnly(t *testing.T) {
	b := elsewhere(t, &house{})
	if err := b.site.SetPassword(t.Context(), home.NewSecret(goodPassword)); err != nil {
		t.Fatal(err)
	}
	b.origin = "http://192.0.2.1:8080" // another service of the same machine
	if code := b.signIn(goodPassword); code != http.StatusForbidden {
		t.Errorf("a form of another port: %d", code)
	}
	b.origin = "null"
	if code := b.signIn(goodPassword); code != http.StatusForbidden {
		t.Errorf("a form of an unknown site: %d", code)
	}
	b.origin = "http://192.0.2.1:7353"
	w := b.do(http.MethodPost, "/signin", url.Values{"password": {goodPassword}})
	c := w.Result().Cookies()
	if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Domain != "" {
		t.Errorf("cookies %+v", c)
	}
	w = b.do(http.MethodGet, "/", nil)
	policy := w.Header().Get("Content-Security-Policy")
	if w.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("another site can show the page in a frame: %v", w.Header())
	}
}

// An expired sign-in asks again, and the form is not lost without a word.
func TestAnExpiredSignInAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{bound("lamp", home.Stale, "")}}}
		b := elsewhere(t, h)
		b.do(http.MethodPost, "/signin", url.Values{"token": {b.site.NewCode()}})
		b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, "Sign out")
		time.Sleep(30*24*time.Hour + time.Second)
		b.shows(b.do(http.MethodPost, "/device/lamp/unbind", nil), http.StatusUnauthorized, "Sign in to go on.")
		if len(h.orders) != 0 {
			t.Errorf("orders %v", h.orders)
		}
	})
}

func openWithLog(t *testing.T, h *house, log *bytes.Buffer) *browser {
	return openOf(t, h, slog.New(slog.NewTextHandler(log, nil)), site.Base{})
}
