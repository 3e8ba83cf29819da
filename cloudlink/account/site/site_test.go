package site_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/daemon/home"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

const (
	email  = "Anna@Example.org"
	first  = "first-Horse-Battery"
	second = "second-Horse-Battery"
	third  = "third-Horse-Battery"
)

// box is a mail box.
type box struct {
	mu    sync.Mutex // guards mails
	mails []mail.Mail
}

func (b *box) Send(_ context.Context, m mail.Mail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, m)
	return nil
}

// visitor is a browser without scripts, of one person.
type visitor struct {
	t    *testing.T
	url  string
	mail *box
	st   account.Store
	http *http.Client
	lang string
	used map[string]bool
}

func visit(t *testing.T, set func(*account.Policy)) *visitor {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	web := httptest.NewUnstartedServer(nil)
	p := account.DefaultPolicy()
	p.HashMemory, p.HashTime, p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 64, 1, 10*time.Millisecond, 0, 1000, 1000
	p.Activation = true
	if set != nil {
		set(&p)
	}
	v := &visitor{t: t, url: "http://" + web.Listener.Addr().String(), mail: &box{}, lang: "en", used: map[string]bool{}}
	st, err := boltstore.Open(t.TempDir(), home.Secret{})
	must(t, err)
	v.st = st
	s, err := server.New(server.Options{
		Store: st, BaseURL: v.url, Names: home.MachineNames("hub"), Brokers: []string{"mqtt://127.0.0.1:1"}, Mail: v.mail,
		Policy: p, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	web.Config.Handler = s.Handler()
	web.Start()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	jar, _ := cookiejar.New(nil) // cannot fail
	v.http = &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{}}
	t.Cleanup(func() {
		v.http.CloseIdleConnections()
		web.Close()
		stop()
		<-done
		must(t, s.Close())
		goleak.VerifyNone(t, ignore)
	})
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type page struct {
	code   int
	path   string
	body   string
	header http.Header
}

func (v *visitor) do(method, path string, form url.Values, set ...string) page {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, body)
	must(v.t, err)
	req.Header.Set("Accept-Language", v.lang)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(set); i += 2 {
		req.Header.Set(set[i], set[i+1])
	}
	resp, err := v.http.Do(req)
	must(v.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(v.t, err)
	return page{resp.StatusCode, resp.Request.URL.Path, string(raw), resp.Header}
}

func (v *visitor) get(path string) page { v.t.Helper(); return v.do(http.MethodGet, path, nil) }

// post sends a form; pairs are names and values.
func (v *visitor) post(path string, pairs ...string) page {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.do(http.MethodPost, path, form)
}

// says checks a page.
func (v *visitor) says(p page, code int, texts ...string) page {
	v.t.Helper()
	if p.code != code {
		v.t.Errorf("%s: status %d, want %d\n%s", p.path, p.code, code, p.body)
	}
	for _, s := range texts {
		if !strings.Contains(p.body, s) {
			v.t.Errorf("%s does not say %q:\n%s", p.path, s, p.body)
		}
	}
	return p
}

// token waits for a mail with a link to the path, not one that was taken before, and returns its token.
func (v *visitor) token(path string) string {
	v.t.Helper()
	in := regexp.MustCompile(regexp.QuoteMeta(v.url) + path + `#t=([A-Z2-7]+)`)
	for range 1000 {
		v.mail.mu.Lock()
		for _, m := range v.mail.mails {
			if f := in.FindStringSubmatch(m.Text); f != nil && !v.used[f[1]] {
				v.used[f[1]] = true
				v.mail.mu.Unlock()
				return f[1]
			}
		}
		v.mail.mu.Unlock()
		time.Sleep(10 * time.Millisecond) // polls what the service's own goroutines do
	}
	v.t.Fatalf("no mail with a link to %s", path)
	return ""
}

func (v *visitor) register() {
	v.t.Helper()
	v.says(v.post("/register", "email", email, "password", first, "again", first), 200, "Look into your mail")
	v.says(v.post("/activate", "token", v.token("/activate")), 200, "Your account is active")
}

func (v *visitor) signIn(password string) page {
	v.t.Helper()
	return v.post("/signin", "email", email, "password", password)
}

func (v *visitor) forgot() string {
	v.t.Helper()
	v.says(v.post("/forgot", "email", email), 200, "Look into your mail")
	return v.token("/reset")
}

func TestAPersonRegistersActivatesAndSignsIn(t *testing.T) {
	v := visit(t, nil)
	v.says(v.get("/register"), 200, "Register", "12 to 32")
	v.says(v.post("/register", "email", email, "password", first, "again", "other"), 422, "The two passwords differ.", email)
	v.says(v.post("/register", "email", "annaexample.org", "password", first, "again", first), 422, "This is no e-mail address")
	v.says(v.post("/register", "email", email, "password", "short", "again", "short"), 422, "12 to 32")
	v.says(v.post("/register", "email", email, "password", "passwordpassword", "again", "passwordpassword"), 422, "tried first")
	v.says(v.post("/register", "email", email, "password", "anna-example-org", "again", "anna-example-org"), 422, "e-mail address")
	v.says(v.post("/register", "email", email, "password", first, "again", first), 200, "Look into your mail")
	v.says(v.signIn(first), 422, "Activate your account first")
	token := v.token("/activate")
	v.says(v.get("/activate?t="+token), 200, "Code from the mail")
	v.says(v.signIn(first), 422, "Activate your account first")
	v.says(v.post("/activate", "token", "AAAA"), 422, "too old")
	v.says(v.post("/activate", "token", token), 200, "Your account is active")
	v.says(v.post("/activate", "token", token), 422, "too old")
	wrong := v.says(v.signIn(second), 422, "is wrong")
	if unknown := v.post("/signin", "email", "nobody@example.org", "password", second); strings.ReplaceAll(unknown.body, "nobody@example.org", email) != wrong.body {
		t.Errorf("an address that has no account is told apart:\n%s\n%s", unknown.body, wrong.body)
	}
	v.says(v.signIn(first), 200, "Devices", "No devices belong to this account yet")
	if p := v.get("/"); p.path != "/account" {
		t.Errorf("signed in, the front page is %s", p.path)
	}
	for path, text := range map[string]string{"/account/hubs": "No hub", "/account/sessions": "this one", "/account/password": "Present password", "/account/history": "Account activated"} {
		v.says(v.get(path), 200, text, `aria-current="page"`)
	}
	v.says(v.post("/signout"), 200, "You are signed out.")
	v.says(v.get("/account"), 401, "Sign in to go on.")
	v.says(v.post("/account/sessions/end", "all", "1"), 401, "Sign in to go on.")
}

func TestAResetLinkWorksOnceAndOnlyWhenSaved(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	old := v.forgot()
	token := v.forgot()
	v.says(v.post("/reset", "token", old), 422, "replaced by a newer one")
	for range 3 { // looking uses nothing up, and neither does a scanner that follows links
		v.says(v.get("/reset"), 200, "Code from the mail")
		v.says(v.get("/reset?t="+token), 200, "Code from the mail")
		v.says(v.post("/reset", "token", token), 200, "Choose a new password", email)
	}
	v.says(v.post("/reset", "token", strings.ToLower(token[:4])+" - "+token[4:], "chosen", "1", "password", second, "again", "other"), 422, "differ")
	v.says(v.post("/reset", "token", token, "chosen", "1", "password", "has spaces in it", "again", "has spaces in it"), 422, "no spaces")
	done := v.says(v.post("/reset", "token", token, "chosen", "1", "password", second, "again", second), 200, "Your password is reset", "No devices belong")
	if done.path != "/reset/done" {
		t.Errorf("a reload of %s would reset again", done.path)
	}
	v.says(v.get("/account"), 401, "Sign in to go on.")
	v.says(v.post("/reset", "token", token, "chosen", "1", "password", third, "again", third), 422, "was used")
	v.says(v.signIn(first), 422, "is wrong")
	v.says(v.signIn(second), 200, "Devices")
	v.says(v.get("/account/history"), 200, "after a forgotten one")
}

func TestWhoDidNotChangeThePasswordTakesTheAccountBack(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	v.says(v.post("/account/password", "old", "wrong", "password", second, "again", second), 422, "is wrong")
	v.says(v.post("/account/password", "old", first, "password", first, "again", first), 422, "the old one")
	changed := v.says(v.post("/account/password", "old", first, "password", second, "again", second), 200, "Your password is changed")
	if changed.path != "/reset/done" {
		t.Error(changed.path)
	}
	notMe := v.token("/notme")
	v.says(v.signIn(second), 200, "Devices") // an intruder's session
	v.says(v.get("/notme?t="+notMe), 200, "This was not me")
	v.says(v.get("/account"), 200, "Devices")
	v.says(v.post("/notme", "token", "AAAA"), 422, "too old")
	v.says(v.post("/notme", "token", notMe), 200, "closed to everybody else")
	v.says(v.get("/account"), 401, "Sign in")
	v.says(v.signIn(second), 422, "is wrong")
	v.says(v.post("/notme", "token", notMe), 422, "was used")
	v.says(v.post("/reset", "token", v.token("/reset"), "chosen", "1", "password", third, "again", third), 200, "Your password is reset")
	v.says(v.signIn(third), 200, "Devices")
	v.says(v.get("/account/history"), 200, "“This was not me”")
}

func TestAnOwnerEndsSessionsByDoor(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	api := func(method, token, params string) string {
		resp, err := v.http.Post(v.url+"/?token="+token, "application/json", strings.NewReader(`{"method":"`+method+`","params":`+params+`}`))
		must(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(raw)
	}
	login := `{"appType":"Kasa_Android","cloudUserName":"` + email + `","cloudPassword":"` + first + `","terminalUUID":"t","refreshTokenNeeded":true}`
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(api("login", "", login))[1]
	if got := api("getDeviceList", token, "{}"); !strings.Contains(got, `"error_code":0`) {
		t.Fatal(got)
	}
	list := v.says(v.get("/account/sessions"), 200, "Kasa app", "Website (this one)")
	if n := strings.Count(list.body, `name="session"`); n != 2 {
		t.Errorf("%d sessions are listed, want 2: a token and its refresh token are one\n%s", n, list.body)
	}
	id := regexp.MustCompile(`(?s)Kasa app.*?name="session" value="([^"]+)"`).FindStringSubmatch(list.body)[1]
	v.says(v.post("/account/sessions/end", "session", id), 200, "The session is ended.")
	v.says(v.post("/account/sessions/end", "session", id), 422, "no such session")
	v.says(v.post("/account/sessions/end", "session", ""), 422, "no such session")
	if got := api("getDeviceList", token, "{}"); !strings.Contains(got, "-20651") {
		t.Error(got)
	}
	v.says(v.post("/account/sessions/end", "all", "1"), 200, "You are signed out.")
	v.says(v.get("/account"), 401, "Sign in")
}

func TestAWordForANewHubNeedsThePassword(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	v.says(v.post("/account/hubs/add", "password", "wrong"), 422, "is wrong")
	v.says(v.post("/account/hubs/add", "password", first), 200, "rekeyd login --pair", "10 minutes", `id="word"`)
	v.says(v.post("/account/hubs/remove", "hub", "hub-nobody"), 422, "no such hub")
}

func TestPagesLoadNothingFromElsewhereAndTellNobodyAnything(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	for _, path := range []string{
		"/reset/done", "/register", "/forgot", "/reset", "/activate", "/notme", "/account", "/account/hubs", "/account/sessions",
		"/account/password", "/account/history", "/no/such/page",
	} {
		p := v.get(path)
		for name, want := range map[string]string{
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Language": "en", "Vary": "Accept-Language",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if csp := p.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.Contains(p.body, "http://") || strings.Contains(p.body, "https://") || strings.Contains(p.body, "//cdn") {
			t.Errorf("%s names another place:\n%s", path, p.body)
		}
		if n := strings.Count(p.body, "<h1>"); n != 1 {
			t.Errorf("%s has %d headings of the first rank", path, n)
		}
	}
	for _, c := range v.http.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(v.url, "http://"), Path: "/"}) {
		if len(c.Value) < 20 {
			t.Errorf("cookie %s is short", c.Name)
		}
	}
}

func TestFormsFromElsewhereAndFormsThatAreNoneAreRefused(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.says(v.signIn(first), 200, "Devices")
	for _, path := range []string{"/signout", "/account/sessions/end", "/account/hubs/add", "/account/password", "/forgot", "/reset", "/notme", "/register"} {
		if p := v.do(http.MethodPost, path, url.Values{"all": {"1"}}, "Sec-Fetch-Site", "cross-site"); p.code != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, p.code)
		}
		if p := v.do(http.MethodPost, path, url.Values{"all": {"1"}}, "Origin", "https://evil.example"); p.code != http.StatusForbidden {
			t.Errorf("%s with another origin: %d", path, p.code)
		}
	}
	v.says(v.get("/account"), 200, "Devices") // nothing was done
	v.says(v.post("/forgot", "email", strings.Repeat("a", 70<<10)), 400, "cannot be read")
	v.says(v.do(http.MethodPost, "/forgot", nil, "Content-Type", "application/x-www-form-urlencoded"), 422, "no e-mail address")
	v.says(v.post("/forgot", "email", "a@b.c\r\nBcc: x@y.z"), 422, "no e-mail address")
	if p := v.do(http.MethodDelete, "/account", nil); p.code != http.StatusMethodNotAllowed && p.code != http.StatusNotFound {
		t.Error(p.code)
	}
	evil := `"><script>alert(1)</script>`
	for _, path := range []string{"/forgot", "/register", "/signin", "/reset"} {
		if p := v.post(path, "email", evil, "token", evil, "next", evil, "password", evil, "again", evil+"x"); strings.Contains(p.body, evil) {
			t.Errorf("%s shows markup that was sent to it:\n%s", path, p.body)
		}
	}
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "/account/../../evil", "/accountx"} {
		p := v.post("/signin", "email", email, "password", first, "next", next)
		if !strings.HasPrefix(p.path, "/account") || p.code >= 500 {
			t.Errorf("after the sign-in %q led to %s", next, p.path)
		}
	}
}

func TestTheWebsiteSpeaksRussian(t *testing.T) {
	v := visit(t, nil)
	v.lang = "ru-RU,ru;q=0.9,en;q=0.8"
	p := v.says(v.get("/"), 200, "Вход", "Забыли пароль?", `<html lang="ru">`)
	if p.header.Get("Content-Language") != "ru" {
		t.Error(p.header)
	}
	v.says(v.post("/register", "email", email, "password", first, "again", first), 200, "Проверьте почту")
	v.says(v.post("/activate", "token", v.token("/activate")), 200, "Учётная запись активна")
	v.says(v.signIn(second), 422, "Неверный адрес или пароль.")
	v.says(v.signIn(first), 200, "Устройства")
}

func TestALivePageEndsWithTheSession(t *testing.T) {
	v := visit(t, nil)
	v.register()
	if p := v.get("/reset/live"); p.code != http.StatusNotFound {
		t.Errorf("live page without a ticket: %d", p.code)
	}
	v.says(v.get("/account/live"), 401, "Sign in")
	v.says(v.signIn(first), 200, "Devices")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.url+"/account/live", nil)
	must(t, err)
	resp, err := v.http.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatal(kind)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return e
			}
		}
		return "closed"
	}
	if e := next(); e != "progress" {
		t.Fatalf("first %q", e)
	}
	v.says(v.post("/account/sessions/end", "all", "1"), 200, "You are signed out.")
	if e := next(); e != "end" {
		t.Errorf("after the session %q", e)
	}
}
