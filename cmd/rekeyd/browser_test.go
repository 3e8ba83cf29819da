package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// loose writes a policy without the limits that a test would run into.
func loose(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.json")
	ok(t, os.WriteFile(path, []byte(`{"forgot_pause": "1s", "forgot_per_hour": 100}`), 0o600))
	return path
}

// TestAPersonResetsAPasswordInARealBrowser goes through every page by hand, with the real daemon and a house of
// simulated devices: as a person at a desk, on a phone at night, with the keyboard alone, and without JavaScript; in
// English and in Russian.
func TestAPersonResetsAPasswordInARealBrowser(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(
		filepath.Join(npmtest.Packages(t, filepath.Join("testdata", "npm")), "node_modules", "axe-core", "axe.min.js"),
	)
	ok(t, err)
	if !nettest.InNamespace(t) {
		return
	}
	const first, second = "first-Horse-Battery", "second-Horse-Battery"
	const third, fourth = "third-Horse-Battery", "fourth-Horse-Battery"
	secrets := []string{first, second, third, fourth}
	r := newRig(t, "plug:iot=2,bulb:iot=1,camera:native=1")
	spool := t.TempDir()
	r.args = append(r.args, "--mail-dir", spool, "--policy", loose(t))
	r.start()
	old := map[string]bool{}
	remember := func(link, token string) string { secrets = append(secrets, token); return link }
	b := newTab(t, defaultAccountURL, "en", string(axe), true)
	r.await("daemon", time.Minute, answers)

	b.open("/register")
	b.shows("Register", "12 to 32")
	b.fill("email", rigEmail, "password", first, "again", first)
	b.sees("Strong.")
	b.press("/register")
	b.shows("Look into your mail")
	b.do(chromedp.Navigate(remember(mailed(t, spool, "/activate", old))))
	b.shows("Activate your account")
	b.press("/activate")
	b.shows("Your account is active")
	b.fill("email", rigEmail, "password", first)
	b.press("/signin")
	b.shows("No devices belong to this account yet")
	b.open("/account/hubs")
	b.shows("No hub belongs to this account yet")
	b.fill("password", first)
	b.press("/account/hubs/add")
	b.shows("rekeyd login --pair", "10 minutes")
	word, err := b.ask(`document.getElementById("word").innerText`)
	ok(t, err)
	secrets = append(secrets, strings.TrimSpace(word))
	if out, err := r.rekeyd(strings.TrimSpace(word), "login", "--pair", "--password-stdin"); err != nil {
		t.Fatalf("login --pair: %s", out)
	}
	mailed(t, spool, "/notme", old) // of the hub
	b.open("/account")
	r.awaitFound()
	r.bind()
	r.await("house bound", time.Minute, allCurrent(4, 1)) // a page without devices does not look again by itself
	b.open("/account")
	b.shows("4 of 4 devices are signed in again.", "plug-1", "Plug", "Bulb", "Camera", "holds the newest password")
	b.press("/signout")
	b.shows("You are signed out.")

	// Forgotten, on a phone at night, with the keyboard alone.
	b.dark()
	b.open("/")
	b.keys("name=email", rigEmail+"x", kb.Tab, "not-the-password", kb.Enter)
	b.shows("The e-mail address or the password is wrong.")
	b.open("/forgot")
	b.keys("name=email", rigEmail, kb.Enter)
	b.shows("Look into your mail", "Resend")
	b.do(chromedp.Navigate(remember(mailed(t, spool, "/reset", old))))
	b.shows("Choose a new password", rigEmail, "4 devices", "Somebody else may know the old one")
	b.keys("name=password", second, kb.Tab, second+"x", kb.Enter)
	b.shows("The two passwords differ.", "4 devices")
	b.fill("password", second, "again", second)
	b.press("/reset")
	b.shows("Your password is reset", "1 hub is informed", "4 of 4 devices are signed in again.",
		"You need do nothing more.")
	b.open("/account")
	b.shows("Sign in to go on.")
	b.fill("email", rigEmail, "password", second)
	b.press("/signin")
	b.shows("4 of 4 devices are signed in again.")
	b.open("/account/sessions")
	b.shows("Website (this one)")
	b.open("/account/history")
	b.shows("Password changed", "after a forgotten one", "Account registered")

	// The password is changed with the old one; it was somebody else.
	b.open("/account/password")
	b.shows("Present password")
	b.fill("old", second, "password", third, "again", third)
	b.press("/account/password")
	b.shows("4 of 4 devices are signed in again.")
	mailed(t, spool, "/notme", old) // of the reset
	b.do(chromedp.Navigate(remember(mailed(t, spool, "/notme", old))))
	b.shows("This was not me")
	b.press("/notme")
	b.shows("Your account is closed to everybody else")
	b.open("/")
	b.fill("email", rigEmail, "password", third)
	b.press("/signin")
	b.shows("The e-mail address or the password is wrong.")
	b.clean(secrets, "401", "422")
	if log := r.log.String(); strings.Contains(log, secrets[len(secrets)-1]) {
		t.Error("a token is in the log")
	}

	// A new one, in Russian and without JavaScript: the code is typed, and the page asks again by itself.
	_, token := mailed(t, spool, "/reset", old)
	ru := newTab(t, defaultAccountURL, "ru", "", false)
	ru.open("/reset")
	ru.sees("Сброс пароля", "Код из письма")
	ru.fill("token", token)
	ru.press("/reset")
	ru.sees("Выберите новый пароль", rigEmail, "4 устройства")
	ru.fill("password", fourth, "again", fourth)
	ru.press("/reset")
	ru.sees("Пароль сброшен", "Снова вошли: 4 из 4 устройств.")
	ru.open("/forgot")
	ru.sees("Забыли пароль?")
	ru.fill("email", "absent@example.org")
	ru.press("/forgot")
	ru.sees("Проверьте почту")
	ru.clean(append(secrets, token))
	if held := r.holding(fourth, 4); held != 4 {
		t.Errorf("%d of 4 devices really hold the newest password", held)
	}

	// The hub is removed, with what it holds; that is asked first.
	b.open("/")
	b.fill("email", rigEmail, "password", fourth)
	b.press("/signin")
	b.shows("4 of 4 devices are signed in again.")
	b.open("/account/hubs")
	b.shows("online", "Password number")
	b.press("/account/hubs/remove")
	b.shows("Remove this hub?", "with the 4 devices that it holds")
	b.press("/account/hubs/remove")
	b.shows("The hub is removed.", "No hub belongs to this account yet.")
	b.clean(secrets, "401", "422")
}
