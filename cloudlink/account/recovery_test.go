package account_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func TestALinkWorksOnceAndARepeatedRequestGetsTheFirstAnswer(t *testing.T) {
	c := open(t, nil)
	c.register()
	first := c.forgot("web")
	token := c.forgot("web")
	if code := c.reset(first, second); code != v1.LinkExpired {
		t.Errorf("a link that was replaced: %d", code)
	}
	if code := c.reset("AAAAAAAAAAAAAAAAAAAAAAAAAA", second); code != v1.LinkExpired {
		t.Errorf("an unknown link: %d", code)
	}
	if code := c.reset(token, "short"); code != v1.BadNewPassword {
		t.Errorf("a bad password: %d", code) // and it uses nothing up
	}
	var wg sync.WaitGroup
	codes := make([]v1.Code, 50)
	for i := range codes {
		wg.Go(func() { codes[i] = c.reset(strings.ToLower(token[:5])+"-"+token[5:], second) }) // as typed
	}
	wg.Wait()
	won := 0
	for _, code := range codes {
		if code == 0 {
			won++
		} else if code != v1.LinkExpired && code != v1.CannotReset {
			t.Errorf("code %d", code)
		}
	}
	if won != len(codes) {
		t.Fatalf("%d of 50 were answered as the first", won)
	}
	if code := c.reset(token, third); code != v1.LinkExpired {
		t.Errorf("the same link with another password: %d", code)
	}
	c.clock.add(time.Hour)
	if code := c.reset(token, second); code != v1.LinkExpired {
		t.Errorf("the same request an hour later: %d", code)
	}
	if changes := c.mail.count("Your password was changed"); changes > 1 {
		t.Errorf("the password was changed %d times", changes)
	}
	if _, _, code := c.login(second, ""); code != 0 {
		t.Fatal(code)
	}
}

func TestALinkGetsTooOld(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.forgot("web")
	if code := c.call("", "resetInfo", p{"token": token}, nil); code != 0 {
		t.Fatal(code)
	}
	c.clock.add(c.policy.ResetLife + time.Second)
	if code := c.call("", "resetInfo", p{"token": token}, nil); code != v1.LinkExpired {
		t.Errorf("its page: %d", code)
	}
	if code := c.reset(token, second); code != v1.LinkExpired {
		t.Fatal(code)
	}
}

func TestAChangedPasswordEndsALink(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.forgot("web")
	change := func(old, pw string) v1.Code {
		return c.call(
			"", "modifyCloudPassword", p{"cloudUserName": email, "oldCloudPassword": old, "newCloudPassword": pw}, nil,
		)
	}
	if code := change("not-the-password", second); code != v1.WrongPassword {
		t.Error(code)
	}
	if code := change(password, password); code != v1.BadNewPassword {
		t.Error(code)
	}
	if code := change(password, second); code != 0 {
		t.Fatal(code)
	}
	if code := c.reset(token, password); code != v1.LinkExpired {
		t.Errorf("the link of before: %d", code)
	}
	if _, _, code := c.login(second, ""); code != 0 {
		t.Error(code)
	}
}

func TestKnownAndUnknownAddressesAreAnsweredAlike(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.ForgotAnswer = 60 * time.Millisecond; p.LoginFailures = 3 })
	c.register()
	post := func(body string) (string, time.Duration) {
		t.Helper()
		began := time.Now()
		resp, err := http.Post(c.web.URL+"/", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return resp.Status + string(raw), time.Since(began)
	}
	for _, form := range []string{
		`{"method":"getResetPasswordEmail","params":{"email":"%"}}`,
		`{"method":"getAccountStatusAndUrl","params":{"appType":"","cloudUserName":"%"}}`,
		`{"method":"login","params":{"appType":"","cloudUserName":"%","cloudPassword":"wrong","terminalUUID":""}}`,
		`{"method":"login","params":{"appType":"","cloudUserName":"%","cloudPassword":"wrong","terminalUUID":""}}`,
		`{"method":"login","params":{"appType":"","cloudUserName":"%","cloudPassword":"wrong","terminalUUID":""}}`,
		`{"method":"login","params":{"appType":"","cloudUserName":"%","cloudPassword":"` + password + `","terminalUUID":""}}`,
		// locked by now
		`{"method":"modifyCloudPassword","params":{"cloudUserName":"%","oldCloudPassword":"x","newCloudPassword":"y"}}`,
	} {
		known, took := post(strings.ReplaceAll(form, "%", email))
		unknown, tookToo := post(strings.ReplaceAll(form, "%", "absent@example.org"))
		if known != unknown {
			t.Errorf("%s: %s, and for an unknown address %s", form, known, unknown)
		}
		if strings.Contains(form, "getReset") && (took < 60*time.Millisecond || tookToo < 60*time.Millisecond) {
			t.Errorf("answered after %v and %v, before its instant", took, tookToo)
		}
	}
	if _, _, code := c.login(password, ""); code != v1.Locked {
		t.Errorf("not locked: %d", code)
	}
	if code := c.reset(c.forgot("web"), second); code != 0 {
		t.Fatal(code)
	}
	if _, _, code := c.login(second, ""); code != 0 {
		t.Errorf("a proven reset did not unlock: %d", code)
	}
}

func TestAThrottledRequestAnswersLikeAnyOther(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.ForgotPause = time.Hour })
	c.register()
	c.forgot("web")
	for range 5 {
		if code := c.call("", "getResetPasswordEmail", p{"email": email}, nil); code != 0 {
			t.Fatal(code)
		}
	}
	c.dropped("throttled", 5)
	if n := c.mail.count("Reset your password"); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestMailWaitsForItsServer(t *testing.T) {
	c := open(t, nil)
	c.register()
	c.mail.mu.Lock()
	c.mail.dead = true
	c.mail.mu.Unlock()
	if code := c.call("", "getResetPasswordEmail", p{"email": email}, nil); code != 0 {
		t.Fatal(code)
	}
	eventually(t, "a try", func() bool { return strings.Contains(c.log.String(), "mail not taken") })
	stop := c.stop
	stop()
	c.mail.mu.Lock()
	c.mail.dead = false
	c.mail.mu.Unlock()
	c.start()
	eventually(t, "the mail, after a restart", func() bool { return c.mail.count("Reset your password") == 1 })
}

func TestAnAccountThatHasToBeActivatedOpensWithItsMailOnly(t *testing.T) {
	c := open(t, func(p *account.Policy) { p.Activation = true })
	c.register()
	if _, _, code := c.login(password, ""); code != account.NotActivated {
		t.Errorf("login before: %d", code)
	}
	if _, _, code := c.login("wrong-password-here", ""); code != v1.WrongPassword {
		t.Errorf("wrong password before: %d", code)
	}
	c.register() // the answer is the same
	eventually(t, "the mails", func() bool { return c.mail.count("Activate your account") == 2 })
	tokens := c.mailed("Activate your account", 2)
	old, token := tokens[0], tokens[1]
	if code := c.reset(token, second); code != v1.LinkExpired {
		t.Errorf("an activation link reset a password: %d", code)
	}
	if code := c.call("", "activate", p{"token": token}, nil); code != 0 {
		t.Fatal(code)
	}
	if code := c.call("", "activate", p{"token": token}, nil); code != 0 {
		t.Errorf("the same request again: %d", code)
	}
	c.signIn()
	c.register()
	eventually(t, "a mail to the owner", func() bool { return c.mail.count("You already have an account") == 1 })
	c.signIn() // with the password as it was
	c.clock.add(6 * time.Minute)
	for name, used := range map[string]string{"the link later": token, "the link of the other registration": old} {
		if code := c.call("", "activate", p{"token": used}, nil); code != v1.LinkExpired {
			t.Errorf("%s: %d", name, code)
		}
	}
}

// TestNoSecretIsFoundAnywhere is the canary test: what was secret is searched for wherever it could have been left.
func TestNoSecretIsFoundAnywhere(t *testing.T) {
	c := open(t, nil)
	c.register()
	token, refresh, _ := c.login(password, "Kasa_Android")
	w := c.pair(token)
	hub, secret := c.hub(w)
	gs := hub.plugs("plug-", 3)
	hub.signIn(1, secret, gs)
	mailed := c.forgot("web")
	if code := c.reset(mailed, second); code != 0 {
		t.Fatal(code)
	}
	in, err := hub.id.OpenGrant(hub.id.Name, want[*wire.Grant](t, hub.next("")))
	if err != nil {
		t.Fatal(err)
	}
	hub.signIn(2, in.Secret, gs)
	c.mail.mu.Lock()
	c.mail.dead = true // the next one stays in the queue
	c.mail.mu.Unlock()
	c.call("", "getResetPasswordEmail", p{"email": email}, nil)
	eventually(t, "a try", func() bool { return strings.Contains(c.log.String(), "mail not taken") })
	canaries := map[string]string{
		"first password": password, "second password": second, "token": token, "refresh token": refresh,
		"reset token":    mailed,
		"pairing secret": w.Secret.Reveal(), "pairing": w.Reveal(), "first epoch secret": secret.Reveal(),
		"second epoch secret": in.Secret.Reveal(),
		"binding secret":      string(gs[0].secret.Reveal()), "link in the queue": "#t=", "hash": "$argon2id$",
	}
	places := c.everything()
	places["the broker"] = []byte(c.carried.String())
	if len(places["the broker"]) < 1000 || len(places) < 4 {
		t.Fatalf("too little was searched: %d places", len(places))
	}
	for what, canary := range canaries {
		for place, raw := range places {
			for form, s := range forms(canary) {
				if bytes.Contains(raw, []byte(s)) {
					t.Errorf("%s found in %s, %s", what, place, form)
				}
			}
		}
	}
}

func TestThePagesResetAPasswordWithAndWithoutScript(t *testing.T) {
	c := open(t, nil)
	_, hub, _ := c.enrolled()
	get := func(path string) (string, http.Header) {
		t.Helper()
		resp, err := http.Get(c.web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return string(raw), resp.Header
	}
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := http.PostForm(c.web.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	body, h := get("/reset")
	if !strings.Contains(body, "/page.js") || h.Get("Referrer-Policy") != "same-origin" ||
		h.Get("Cache-Control") != "no-store" ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(body, "http://") ||
		strings.Contains(body, "https://") {
		t.Errorf("page %q %v", body, h)
	}
	code, known := post("/forgot", url.Values{"email": {email}})
	_, unknown := post("/forgot", url.Values{"email": {"absent@example.org"}})
	if code != http.StatusOK || known != strings.Replace(unknown, "absent@example.org", email, 1) {
		t.Errorf("%d %s %s", code, known, unknown)
	}
	typed := regexp.MustCompile(`(?m)^[A-Z2-7]{4}(-[A-Z2-7]{2,4})+$`).FindString(c.last("/reset").Text)
	code, body = post("/reset", url.Values{"token": {typed}})
	if code != http.StatusOK || !strings.Contains(body, "hub in the hall") || !strings.Contains(body, email) {
		t.Fatalf("%d %s", code, body)
	}
	form := url.Values{"token": {typed}, "chosen": {"1"}, "password": {second}, "again": {"another"}, "hub": {hub.id.Name}}
	if code, body = post("/reset", form); code != http.StatusUnprocessableEntity || !strings.Contains(body, "differ") {
		t.Errorf("%d %s", code, body)
	}
	form.Set("again", second)
	req, _ := http.NewRequestWithContext(
		t.Context(), http.MethodPost, c.web.URL+"/reset", strings.NewReader(form.Encode()),
	)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %d", resp.StatusCode)
	}
	if code, body = post("/reset", form); code != http.StatusOK || !strings.Contains(body, "is reset") {
		t.Fatalf("%d %s", code, body)
	}
	if code, body = post("/reset", form); code != http.StatusOK || !strings.Contains(body, "is reset") {
		t.Errorf("the same form again: %d %s", code, body)
	}
	in, err := hub.id.OpenGrant(hub.id.Name, want[*wire.Grant](t, hub.next("")))
	if err != nil || in.Password.Reveal() != second {
		t.Fatalf("grant: %v", err)
	}
	if _, _, code := c.login(second, ""); code != 0 {
		t.Error(code)
	}
	http.DefaultClient.CloseIdleConnections()
}
