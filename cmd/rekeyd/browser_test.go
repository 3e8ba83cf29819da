package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// tab is a tab of a real Chromium. It keeps what the browser asked for, and what it complained about.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	axe  string // the accessibility checker; empty to go without

	mu        sync.Mutex // guards the rest
	asked     []string   // URL of each request, as it left the page
	referers  []string
	complains []string
}

// newTab opens Chromium in a language of the person, with or without JavaScript; every page that it shows must be
// base's.
func newTab(t *testing.T, base, lang, axe string, scripts bool) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		nettest.Missing(t, "chromium is missing: the pages cannot be tested in a real browser (Debian: chromium)")
	}
	o := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.Flag("accept-lang", lang),
		chromedp.Flag("ignore-certificate-errors", true), // a person accepts the certificate that the daemon made
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	all, stop := chromedp.NewExecAllocator(context.Background(), o...)
	t.Cleanup(stop)
	b := &tab{t: t, base: base, axe: axe}
	ctx, end := chromedp.NewContext(all, chromedp.WithListener(b.hear))
	t.Cleanup(end)
	b.ctx = ctx
	if err := chromedp.Do(ctx, call(network.Enable, network.EnableParams{}), call(devlog.Enable, cdp.Empty{}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})); err != nil {
		t.Fatalf("start of chromium: %v", err)
	}
	return b
}

// call is a command of the DevTools protocol that answers nothing of interest.
func call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, ev.Request.URL)
	case *network.EventRequestWillBeSentExtraInfo:
		for name, v := range ev.Headers {
			if strings.EqualFold(name, "referer") {
				b.referers = append(b.referers, fmt.Sprint(v))
			}
		}
	case *devlog.EventEntryAdded:
		b.complains = append(b.complains, string(ev.Entry.Level)+": "+ev.Entry.Text+" "+ev.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.complains = append(b.complains, "exception: "+ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complains = append(b.complains, "console."+string(ev.Type))
	}
}

func (b *tab) do(as ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, time.Minute)
	defer stop()
	if err := chromedp.Do(ctx, as...); err != nil {
		b.t.Fatalf("browser: %v\non the page:\n%s", err, b.text())
	}
}

// ask evaluates an expression on the page, as the developer tools do, also where the page itself may run no script.
func (b *tab) ask(expression string) (string, error) {
	ctx, stop := context.WithTimeout(b.ctx, time.Minute)
	defer stop()
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression, func(p *runtime.EvaluateParams) {
		yes := true
		p.AwaitPromise = &yes
	}))
}

// text is what the page shows; empty between two pages.
func (b *tab) text() string {
	s, _ := b.ask(
		`document.body ? [document.body.innerText,
			...[...document.querySelectorAll("input[readonly]")].map(i => i.value)].join("\n") : ""`,
	)
	return s
}

// shows waits until the page shows all of the texts, and has the browser and the accessibility checker look at it.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	b.sees(texts...)
	wide, err := b.ask(`document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("*")]
		.filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80)).join("\n") : ""`)
	ok(b.t, err)
	if wide != "" {
		b.t.Errorf("the page that shows %q is wider than the screen:\n%s", texts, wide)
	}
	found, err := b.ask(b.axe + `;axe.run({runOnly:["wcag2a","wcag2aa","wcag21a","wcag21aa","best-practice"]})
		.then(r=>r.violations.map(v=>v.id+": "+v.help+" "+v.nodes.map(n=>n.html).join(" ")).join("\n"))`)
	ok(b.t, err)
	if found != "" {
		b.t.Errorf("barriers on the page that shows %q:\n%s", texts, found)
	}
}

func (b *tab) sees(texts ...string) {
	b.t.Helper()
	var now string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		now = b.text()
		missing := false
		for _, s := range texts {
			missing = missing || !strings.Contains(now, s)
		}
		if !missing {
			return
		}
	}
	b.t.Fatalf("the page does not show %q but:\n%s", texts, now)
}

// dark makes the tab a phone's at night.
func (b *tab) dark() {
	b.t.Helper()
	b.do(
		call(
			emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{Width: 360, Height: 740, DeviceScaleFactor: 2, Mobile: true},
		),
		call(
			emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}},
		),
	)
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.base + path)) }

// fill writes into fields by their names, each followed by its text.
func (b *tab) fill(pairs ...string) {
	b.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name="`+pairs[i]+`"]`), pairs[i+1]))
	}
}

// press presses the button of the form that leads to action.
func (b *tab) press(action string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`form[action="` + action + `"] button`)))
}

// clean checks the traffic of the browser: every request went to this service, no URL and no Referer held a secret, and
// the console is empty but for allowed messages.
func (b *tab) clean(secrets []string, allowed ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) < 10 {
		b.t.Errorf("only %d requests were seen", len(b.asked))
	}
	want, err := url.Parse(b.base)
	ok(b.t, err)
	for _, raw := range b.asked {
		u, err := url.Parse(raw)
		ok(b.t, err)
		if u.Host != want.Host && u.Scheme != "about" {
			b.t.Errorf("a request to somebody else: %s", raw)
		}
		for _, s := range secrets {
			if strings.Contains(raw, s) {
				b.t.Errorf("a secret in the URL %s", raw)
			}
		}
	}
	for _, r := range b.referers {
		if !strings.HasPrefix(r, b.base+"/") {
			b.t.Errorf("a Referer of another site: %s", r)
		}
		for _, s := range secrets {
			if strings.Contains(r, s) {
				b.t.Errorf("a secret in the Referer %s", r)
			}
		}
	}
	for _, c := range b.complains {
		fine := false
		for _, a := range allowed {
			fine = fine || strings.Contains(c, a)
		}
		if !fine {
			b.t.Errorf("the browser complains: %s", c)
		}
	}
}

// mailed waits for a mail with a link to the path, not among old, and returns the link and its token.
func mailed(t *testing.T, dir, path string, old map[string]bool) (link, token string) {
	t.Helper()
	in := regexp.MustCompile(`https?://[^\s"<>]*` + path + `#t=([A-Z2-7]{20,})`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
		ok(t, err)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			ok(t, err)
			if m := in.FindSubmatch(raw); m != nil && !old[string(m[1])] {
				old[string(m[1])] = true
				return string(m[0]), string(m[1])
			}
		}
	}
	t.Fatalf("no mail with a link to %s", path)
	return "", ""
}

// loose asks for a policy whose limits do not stand in a test's way.
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
	ru.fill("email", "nobody@example.org")
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

// keys types: into the field at which the keyboard arrives from the beginning of the page.
func (b *tab) keys(field string, keys ...string) {
	b.t.Helper()
	name := strings.TrimPrefix(field, "name=")
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		here, err := b.ask(`document.activeElement.name || ""`)
		ok(b.t, err)
		if here == name {
			for _, k := range keys {
				b.do(chromedp.KeyEvent(k))
			}
			return
		}
	}
	b.t.Fatalf("the keyboard does not reach the field %s", name)
}
