package account_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// terminal is a browser or an app of an owner: it keeps the cookies that it is given.
type terminal struct {
	c    *cloud
	uuid string // of an app
	jar  *cookiejar.Jar
	http http.Client
}

func (c *cloud) terminal(uuid string) *terminal {
	jar, _ := cookiejar.New(nil) // cannot fail without options
	t := &terminal{c: c, uuid: uuid, jar: jar, http: http.Client{Jar: jar}}
	c.t.Cleanup(t.http.CloseIdleConnections)
	return t
}

// signIn posts the form of the website, and returns whether the owner's pages are shown then.
func (b *terminal) signIn(pw string) bool {
	b.c.t.Helper()
	resp, err := b.http.PostForm(b.c.web.URL+"/signin", url.Values{"email": {email}, "password": {pw}})
	if err != nil {
		b.c.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// login calls the API's login as an app that keeps cookies.
func (b *terminal) login(pw string) v1.Code {
	b.c.t.Helper()
	body, _ := json.Marshal(p{"method": "login", "params": p{
		"appType": "Kasa_Android", "cloudUserName": email, "cloudPassword": pw, "terminalUUID": b.uuid,
	}})
	resp, err := b.http.Post(b.c.web.URL+"/", "application/json", strings.NewReader(string(body)))
	if err != nil {
		b.c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	var answer struct {
		Code v1.Code `json:"error_code"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		b.c.t.Fatal(err)
	}
	return answer.Code
}

// lockOut guesses, as a stranger, until the account is locked.
func (c *cloud) lockOut() {
	c.t.Helper()
	for range c.policy.LoginFailures {
		c.login("guess-of-a-Stranger", "Kasa_Android")
	}
	if _, _, code := c.login(password, "Kasa_Android"); code != v1.Locked {
		c.t.Fatalf("a stranger with the right password: %d, want locked", code)
	}
}

func TestALockLetsInWhatSignedInBefore(t *testing.T) {
	c := open(t, nil)
	c.register()
	browser, app, stranger := c.terminal(""), c.terminal("uuid-of-the-phone"), c.terminal("")
	token, refresh, _ := c.login(password, "Kasa_Android")
	if !browser.signIn(password) || app.login(password) != 0 {
		t.Fatal("no sign-in")
	}
	c.lockOut()
	if stranger.signIn(password) {
		t.Error("a browser that never signed in was let in during the lock")
	}
	if !browser.signIn(password) {
		t.Error("the owner's browser is locked out")
	}
	if code := app.login(password); code != 0 {
		t.Errorf("the owner's app is locked out: %d", code)
	}
	if app.uuid = "another"; app.login(password) != v1.Locked {
		t.Error("the cookie of one terminal opened the account for another")
	}
	// An app without cookies has its tokens.
	if code := c.call(token, "getDeviceList", nil, nil); code != 0 {
		t.Errorf("a token during the lock: %d", code)
	}
	renewal := p{"appType": "Kasa_Android", "terminalUUID": "t", "refreshToken": refresh}
	if code := c.call("", "refreshToken", renewal, nil); code != 0 {
		t.Errorf("a refresh token during the lock: %d", code)
	}
	change := p{"cloudUserName": email, "oldCloudPassword": password, "newCloudPassword": second}
	if code := c.call("", "modifyCloudPassword", change, nil); code != v1.Locked {
		t.Errorf("a stranger's change of the password during the lock: %d", code)
	}
	if code := c.call(token, "createPairing", p{"password": password}, nil); code != 0 {
		t.Errorf("the owner adds a hub during the lock: %d", code)
	}
	if code := c.call(token, "modifyCloudPassword", change, nil); code != 0 {
		t.Errorf("the owner changes the password during the lock: %d", code)
	}
}

func TestACookieHasFewGuessesOfItsOwn(t *testing.T) {
	c := open(t, nil)
	c.register()
	browser, other := c.terminal(""), c.terminal("")
	if !browser.signIn(password) || !other.signIn(password) {
		t.Fatal("no sign-in")
	}
	guesses := 0
	for ; guesses < 100 && !strings.Contains(browser.problem("a-Wrong-guess-1"), "locked"); guesses++ {
	}
	if guesses > 10 {
		t.Errorf("%d guesses with one cookie", guesses)
	}
	if browser.signIn(password) {
		t.Error("a cookie that is locked let the right password in")
	}
	if !other.signIn(password) {
		t.Error("the guesses of one browser locked another")
	}
	if _, _, code := c.login(password, ""); code != 0 {
		t.Errorf("the guesses with a cookie count for strangers: %d", code)
	}
	c.clock.add(2*time.Hour + time.Second)
	if !browser.signIn(password) {
		t.Error("the lock of a cookie has no end")
	}
}

// problem signs in and returns the page.
func (b *terminal) problem(pw string) string {
	b.c.t.Helper()
	resp, err := b.http.PostForm(b.c.web.URL+"/signin", url.Values{"email": {email}, "password": {pw}})
	if err != nil {
		b.c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return strings.ToLower(string(raw))
}

func TestACookieEndsWhenThePasswordWasExposed(t *testing.T) {
	c := open(t, nil)
	c.register()
	for i, exposed := range []bool{false, true} {
		browser := c.terminal("")
		old, fresh := []string{password, second}[i], []string{second, password}[i]
		if !browser.signIn(old) {
			t.Fatal("no sign-in")
		}
		form := p{"token": c.forgot("web"), "newPassword": fresh, "exposed": exposed}
		if code := c.call("", "resetPassword", form, nil); code != 0 {
			t.Fatal(code)
		}
		c.lockOutOf(fresh)
		if in := browser.signIn(fresh); in == exposed {
			t.Errorf("exposed %v: the browser of before is let in: %v", exposed, in)
		}
		if code := c.reset(c.forgot("web"), fresh+"!"); code != 0 { // it unlocks
			t.Fatal(code)
		}
		if code := c.reset(c.forgot("web"), fresh); code != 0 {
			t.Fatal(code)
		}
	}
	thief := c.terminal("")
	if !thief.signIn(password) {
		t.Fatal("no sign-in")
	}
	change := p{"cloudUserName": email, "oldCloudPassword": password, "newCloudPassword": second}
	if code := c.call("", "modifyCloudPassword", change, nil); code != 0 || !thief.signIn(second) {
		t.Fatal("no change")
	}
	w := c.last("/notme")
	sent := c.mail.count("Reset your password")
	if code := c.notMe(tokenIn.FindStringSubmatch(w.Text)[1]); code != http.StatusOK {
		t.Fatal(code)
	}
	eventually(t, "the mail of the disowned change", func() bool { return c.mail.count("Reset your password") > sent })
	if code := c.reset(c.forgot("web"), "third-Horse-Battery"); code != 0 {
		t.Fatal(code)
	}
	c.lockOutOf("third-Horse-Battery")
	if thief.signIn("third-Horse-Battery") {
		t.Error("the cookie of a disowned login opened the account during a lock")
	}
}

// lockOutOf is lockOut where the password is pw.
func (c *cloud) lockOutOf(pw string) {
	c.t.Helper()
	for range c.policy.LoginFailures {
		c.login("guess-of-a-Stranger", "")
	}
	if _, _, code := c.login(pw, ""); code != v1.Locked {
		c.t.Fatalf("not locked: %d", code)
	}
}

// notMe posts the form "this was not me".
func (c *cloud) notMe(token string) int {
	c.t.Helper()
	resp, err := http.PostForm(c.web.URL+"/notme", url.Values{"token": {token}})
	if err != nil {
		c.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestAForgedCookieIsNone(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.LoginFrom = 10_000 })
	c.register()
	browser := c.terminal("")
	if !browser.signIn(password) {
		t.Fatal("no sign-in")
	}
	web, _ := url.Parse(c.web.URL)
	good := ""
	for _, k := range browser.jar.Cookies(web) {
		if strings.HasSuffix(k.Name, "rekeyd_terminal") {
			good = k.Value
		}
	}
	if good == "" {
		t.Fatal("the browser was given no cookie")
	}
	c.lockOut()
	forged := []string{
		"", ".", "....", strings.Repeat("a.", 5000), good + "A", good[:len(good)-2], "x" + good, good + "." + good,
	}
	for i := range good {
		forged = append(forged, good[:i]+string(rune(good[i]^1))+good[i+1:])
	}
	for _, value := range forged {
		b := c.terminal("")
		b.jar.SetCookies(web, []*http.Cookie{{Name: "rekeyd_terminal", Value: value, Path: "/"}})
		if b.signIn(password) {
			t.Errorf("let in with %.80q", value)
		}
	}
	b := c.terminal("")
	b.jar.SetCookies(web, []*http.Cookie{{Name: "rekeyd_terminal", Value: good, Path: "/"}})
	if !b.signIn(password) {
		t.Error("the true cookie is refused")
	}
	// Another account's cookie is none of this one.
	if code := c.call("", "register", p{"email": "eve@example.org", "password": password}, nil); code != 0 {
		t.Fatal(code)
	}
	eve := c.terminal("")
	resp, err := eve.http.PostForm(c.web.URL+"/signin", url.Values{"email": {"eve@example.org"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || eve.signIn(password) {
		t.Error(fmt.Sprint("eve's cookie: ", resp.StatusCode))
	}
}
