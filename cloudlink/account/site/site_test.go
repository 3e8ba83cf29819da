package site_test

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestAPersonRegistersActivatesAndSignsIn(t *testing.T) {
	v := visit(t, nil)
	v.shows(v.get("/register"), 200, "Register", "12 to 32")
	v.shows(v.registers(email, first, "other"), 422, "The two passwords differ.", email)
	v.shows(v.registers("annaexample.org", first, first), 422, "This is no e-mail address")
	v.shows(v.registers(email, "short", "short"), 422, "12 to 32")
	v.shows(v.registers(email, "passwordpassword", "passwordpassword"), 422, "tried first")
	v.shows(v.registers(email, "anna-example-org", "anna-example-org"), 422, "e-mail address")
	v.shows(v.registers(email, first, first), 200, "Look into your mail")
	v.shows(v.signIn(first), 422, "Activate your account first")
	token := v.token("/activate")
	v.shows(v.get("/activate?t="+token), 200, "Code from the mail")
	v.shows(v.signIn(first), 422, "Activate your account first")
	v.shows(v.post("/activate", "token", "AAAA"), 422, "no code from a mail")
	v.shows(v.post("/activate", "token", token), 200, "Your account is active")
	v.shows(v.post("/activate", "token", token), 200, "Your account is active") // a double click
	wrong := v.shows(v.signIn(second), 422, "is wrong")
	unknown := v.post("/signin", "email", "absent@example.org", "password", second)
	if strings.ReplaceAll(unknown.body, "absent@example.org", email) != wrong.body {
		t.Errorf("the pages differ for an address that has no account:\n%s\n%s", unknown.body, wrong.body)
	}
	v.shows(v.signIn(first), 200, "Devices", "No devices belong to this account yet")
	if p := v.get("/"); p.path != "/account" {
		t.Errorf("signed in, the front page is %s", p.path)
	}
	for path, text := range map[string]string{
		"/account/hubs": "No hub", "/account/sessions": "this one", "/account/password": "Present password",
		"/account/history": "Account activated",
	} {
		v.shows(v.get(path), 200, text, `aria-current="page"`)
	}
	v.shows(v.post("/signout"), 200, "You are signed out.")
	v.shows(v.get("/account"), 401, "Sign in to go on.")
	v.shows(v.post("/account/sessions/end", "all", "1"), 401, "Sign in to go on.")
}

func TestAResetLinkWorksOnceAndOnlyWhenSaved(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.shows(v.signIn(first), 200, "Devices")
	old := v.forgot()
	token := v.forgot()
	v.shows(v.post("/reset", "token", old), 422, "replaced by a newer one")
	for range 3 { // looking uses nothing up, and neither does a scanner that follows links
		v.shows(v.get("/reset"), 200, "Code from the mail")
		v.shows(v.get("/reset?t="+token), 200, "Code from the mail")
		v.shows(v.post("/reset", "token", token), 200, "Choose a new password", email)
	}
	for _, typed := range []string{
		strings.ToLower(token[:4]) + " - " + token[4:],
		"\ufeff" + token[:4] + "\u2011" + token[4:8] + "\u00a0" + token[8:] + "\u200b\r\n", // as a mail program copies it
		v.url + "/reset#t=" + token,                                                        // the whole link
		"<" + v.url + "/reset#t=" + token + ">",
	} {
		v.shows(v.chooses(typed, second, "other"), 422, "differ")
	}
	v.shows(v.chooses(token, "has spaces in it", "has spaces in it"), 422, "no spaces")
	done := v.shows(v.chooses(token, second, second), 200, "Your password is reset", "No devices belong")
	if done.path != "/reset/done" {
		t.Errorf("a reload of %s would reset again", done.path)
	}
	v.shows(v.get("/account"), 401, "Sign in to go on.")
	again := v.post("/reset", "token", token, "chosen", "1", "password", second, "again", second)
	v.shows(again, 200, "Your password is reset") // a double click
	v.shows(v.chooses(token, third, third), 422, "was used")
	v.shows(v.signIn(first), 422, "is wrong")
	v.shows(v.signIn(second), 200, "Devices")
	v.shows(v.get("/account/history"), 200, "after a forgotten one")
}

func TestWhoDidNotChangeThePasswordTakesTheAccountBack(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.shows(v.signIn(first), 200, "Devices")
	v.shows(v.changes("wrong", second), 422, "is wrong")
	v.shows(v.changes(first, first), 422, "the old one")
	changed := v.shows(v.changes(first, second), 200, "Your password is changed")
	if changed.path != "/reset/done" {
		t.Error(changed.path)
	}
	notMe := v.token("/notme")
	v.shows(v.signIn(second), 200, "Devices") // an intruder's session
	v.shows(v.get("/notme?t="+notMe), 200, "This was not me")
	v.shows(v.get("/account"), 200, "Devices")
	v.shows(v.post("/notme", "token", "AAAA"), 422, "no code from a mail")
	v.shows(v.post("/notme", "token", notMe), 200, "closed to everybody else")
	v.shows(v.get("/account"), 401, "Sign in")
	v.shows(v.signIn(second), 422, "is wrong")
	v.shows(v.post("/notme", "token", notMe), 200, "closed to everybody else") // a double click
	v.shows(v.chooses(v.token("/reset"), third, third), 200, "Your password is reset")
	v.shows(v.signIn(third), 200, "Devices")
	v.shows(v.get("/account/history"), 200, "“This was not me”")
}

func TestAnOwnerEndsSessionsByDoor(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.shows(v.signIn(first), 200, "Devices")
	api := func(method, token, params string) string {
		call := strings.NewReader(`{"method":"` + method + `","params":` + params + `}`)
		resp, err := v.http.Post(v.url+"/?token="+token, "application/json", call)
		must(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(raw)
	}
	login := `{"appType":"Kasa_Android","cloudUserName":"` + email + `","cloudPassword":"` + first +
		`","terminalUUID":"t","refreshTokenNeeded":true}`
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(api("login", "", login))[1]
	if got := api("getDeviceList", token, "{}"); !strings.Contains(got, `"error_code":0`) {
		t.Fatal(got)
	}
	list := v.shows(v.get("/account/sessions"), 200, "Kasa app", "Website (this one)")
	if n := strings.Count(list.body, `name="session"`); n != 2 {
		t.Errorf("%d sessions are listed, want 2: a token and its refresh token are one\n%s", n, list.body)
	}
	id := regexp.MustCompile(`(?s)Kasa app.*?name="session" value="([^"]+)"`).FindStringSubmatch(list.body)[1]
	v.shows(v.post("/account/sessions/end", "session", id), 200, "The session is ended.")
	v.shows(v.post("/account/sessions/end", "session", id), 422, "no such session")
	v.shows(v.post("/account/sessions/end", "session", ""), 422, "no such session")
	if got := api("getDeviceList", token, "{}"); !strings.Contains(got, "-20651") {
		t.Error(got)
	}
	v.shows(v.post("/account/sessions/end", "all", "1"), 200, "You are signed out.")
	v.shows(v.get("/account"), 401, "Sign in")
}

func TestAWordForANewHubNeedsThePassword(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.shows(v.signIn(first), 200, "Devices")
	v.shows(v.post("/account/hubs/add", "password", "wrong"), 422, "is wrong")
	v.shows(v.post("/account/hubs/add", "password", first), 200, "rekeyd login --pair", "10 minutes", `id="word"`)
	v.shows(v.post("/account/hubs/remove", "hub", "hub-absent"), 422, "no such hub")
}

func TestPagesLoadNothingFromOtherSites(t *testing.T) {
	v := visit(t, nil)
	v.register()
	v.shows(v.signIn(first), 200, "Devices")
	for _, path := range []string{
		"/reset/done", "/register", "/forgot", "/reset", "/activate", "/notme", "/account", "/account/hubs",
		"/account/sessions", "/account/password", "/account/history", "/no/such/page",
	} {
		p := v.get(path)
		for name, want := range map[string]string{
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Content-Language": "en", "Vary": "Accept-Language",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		csp := p.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
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
	v.shows(v.signIn(first), 200, "Devices")
	for _, path := range []string{
		"/signout", "/account/sessions/end", "/account/hubs/add", "/account/password", "/forgot", "/reset", "/notme",
		"/register",
	} {
		// Over plain HTTP a browser sends no Sec-Fetch-Site. "null" is the origin of a page that hides its own.
		for _, header := range [][2]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			p := v.do(http.MethodPost, path, url.Values{"all": {"1"}}, header[0], header[1])
			if p.code != http.StatusForbidden {
				t.Errorf("%s with %s: %s: %d", path, header[0], header[1], p.code)
			}
		}
	}
	v.shows(v.get("/account"), 200, "Devices") // nothing was done
	v.shows(v.post("/forgot", "email", strings.Repeat("a", 70<<10)), 400, "cannot be read")
	empty := v.do(http.MethodPost, "/forgot", nil, "Content-Type", "application/x-www-form-urlencoded")
	v.shows(empty, 422, "no e-mail address")
	v.shows(v.post("/forgot", "email", "a@b.c\r\nBcc: x@y.z"), 422, "no e-mail address")
	deleted := v.do(http.MethodDelete, "/account", nil)
	if deleted.code != http.StatusMethodNotAllowed && deleted.code != http.StatusNotFound {
		t.Error(deleted.code)
	}
	evil := `"><script>alert(1)</script>`
	for _, path := range []string{"/forgot", "/register", "/signin", "/reset"} {
		p := v.post(path, "email", evil, "token", evil, "next", evil, "password", evil, "again", evil+"x")
		if strings.Contains(p.body, evil) {
			t.Errorf("%s shows markup that was sent to it:\n%s", path, p.body)
		}
	}
	for _, next := range []string{
		"https://evil.example/", "//evil.example", "/\\evil.example", "/account/../../evil", "/accountx",
	} {
		p := v.post("/signin", "email", email, "password", first, "next", next)
		if !strings.HasPrefix(p.path, "/account") || p.code >= 500 {
			t.Errorf("after the sign-in %q led to %s", next, p.path)
		}
	}
}

func TestTheWebsiteSpeaksRussian(t *testing.T) {
	v := visit(t, nil)
	v.lang = "ru-RU,ru;q=0.9,en;q=0.8"
	p := v.shows(v.get("/"), 200, "Вход", "Забыли пароль?", `<html lang="ru">`)
	if p.header.Get("Content-Language") != "ru" {
		t.Error(p.header)
	}
	v.shows(v.registers(email, first, first), 200, "Проверьте почту")
	v.shows(v.post("/activate", "token", v.token("/activate")), 200, "Учётная запись активна")
	v.shows(v.signIn(second), 422, "Неверный адрес или пароль.")
	v.shows(v.signIn(first), 200, "Устройства")
}

func TestALivePageEndsWithTheSession(t *testing.T) {
	v := visit(t, nil)
	v.register()
	if p := v.get("/reset/live"); p.code != http.StatusNotFound {
		t.Errorf("live page without a ticket: %d", p.code)
	}
	v.shows(v.get("/account/live"), 401, "Sign in")
	v.shows(v.signIn(first), 200, "Devices")
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
	v.shows(v.post("/account/sessions/end", "all", "1"), 200, "You are signed out.")
	if e := next(); e != "end" {
		t.Errorf("after the session %q", e)
	}
}
