package account_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func TestATokenAloneAddsNoHub(t *testing.T) {
	c := open(t, nil)
	c.register()
	token, refresh, _ := c.login(password, "Kasa_Android")
	if code := c.call(token, "createPairing", p{}, nil); code != 0 {
		t.Errorf("right after the login: %d", code)
	}
	c.clock.add(6 * time.Minute)
	var renewed struct{ Token string }
	renewal := p{"appType": "", "terminalUUID": "t", "refreshToken": refresh}
	if code := c.call("", "refreshToken", renewal, &renewed); code != 0 {
		t.Fatal(code)
	}
	for name, token := range map[string]string{"the token": token, "the renewed token": renewed.Token} {
		if code := c.call(token, "createPairing", p{}, nil); code != v1.TokenExpired {
			t.Errorf("%s, six minutes after the login: %d, want %d", name, code, v1.TokenExpired)
		}
		if code := c.call(token, "createPairing", p{"password": "a wrong one"}, nil); code != v1.WrongPassword {
			t.Errorf("%s with a wrong password: %d, want %d", name, code, v1.WrongPassword)
		}
		if code := c.call(token, "createPairing", p{"password": password}, nil); code != 0 {
			t.Errorf("%s with the password: %d", name, code)
		}
		if code := c.call(token, "listHubs", p{}, nil); code != 0 {
			t.Errorf("%s has ended: %d", name, code)
		}
	}
}

// TestACookieIsNoToken plays a program that listens on another port of 127.0.0.1 and was sent the website's cookie.
func TestACookieIsNoToken(t *testing.T) {
	c := open(t, nil)
	c.register()
	jar, _ := cookiejar.New(nil) // cannot fail
	browser := &http.Client{Jar: jar}
	defer http.DefaultClient.CloseIdleConnections()
	form := url.Values{"email": {email}, "password": {password}}
	resp, err := browser.PostForm(c.web.URL+"/signin", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	at, err := url.Parse(c.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	cookies := slices.DeleteFunc(jar.Cookies(at), func(c *http.Cookie) bool { return c.Name != "rekeyd_session" })
	if len(cookies) != 1 || resp.StatusCode != http.StatusOK {
		t.Fatalf("the browser is not signed in: %d, %v", resp.StatusCode, cookies)
	}
	for _, shown := range []string{cookies[0].Value, cookies[0].Value + " cookie", "cookie-" + cookies[0].Value} {
		for _, method := range []string{"createPairing", "getDeviceList", "getHistory", "logoutAll"} {
			if code := c.call(shown, method, p{}, nil); code != v1.TokenExpired {
				t.Errorf("%s with a cookie as the token: %d, want %d", method, code, v1.TokenExpired)
			}
		}
	}
	token := c.signIn()
	jar.SetCookies(at, []*http.Cookie{{Name: cookies[0].Name, Value: token, Path: "/"}})
	resp, err = browser.Get(c.web.URL + "/account")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token as the cookie: %d, want %d", resp.StatusCode, http.StatusUnauthorized)
	}
}

func TestAMailReportsEachNewHub(t *testing.T) {
	const subject = "A hub was added to your account"
	c := open(t, nil)
	_, mine, _ := c.enrolled()
	eventually(t, "the mail of the owner's hub", func() bool { return c.mail.count(subject) == 1 })
	word := c.pair(c.signIn()) // by an intruder who guessed the password
	theirs, _ := c.hub(word)
	want[*wire.Enrolled](t, theirs.ask(enrolment(theirs.id, word))) // as after a lost answer
	eventually(t, "the mail of the second hub", func() bool { return c.mail.count(subject) == 2 })
	m := c.last("/notme")
	if m.To != email || !strings.Contains(m.Text, "hub in the hall") {
		t.Errorf("to %s:\n%s", m.To, m.Text)
	}
	if err := c.s.Disown(t.Context(), tokenIn.FindStringSubmatch(m.Text)[1]); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, theirs.ask(&wire.Hello{Account: theirs.account}), wire.CodeUnknown)
	mine.hello(1) // the owner's own hub stays
	if _, _, code := c.login(password, "Kasa_Android"); code != v1.WrongPassword {
		t.Errorf("the guessed password: %d, want %d", code, v1.WrongPassword)
	}
	if n := c.mail.count(subject); n != 2 {
		t.Errorf("%d mails of two hubs", n)
	}
	if code := c.reset(tokenIn.FindStringSubmatch(c.last("/reset").Text)[1], second); code != 0 {
		t.Fatal(code)
	}
}
