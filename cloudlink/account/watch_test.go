package account_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

const third = "third-Horse-Battery"

// progress reads a live page: the content of each event.
func progress(t *testing.T, resp *http.Response) func() (result, html string) {
	t.Helper()
	lines := bufio.NewScanner(resp.Body)
	return func() (string, string) {
		t.Helper()
		for lines.Scan() {
			raw, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var now struct{ Result, HTML string }
			if err := json.Unmarshal([]byte(raw), &now); err != nil {
				t.Fatal(err)
			}
			return now.Result, now.HTML
		}
		return "", "closed"
	}
}

func TestWhoHasResetSeesTheDevicesComeBackOneByOne(t *testing.T) {
	c := open(t, nil)
	_, hub, secret := c.enrolled()
	gs := hub.plugs("plug-", 3)
	hub.signIn(1, secret, gs)
	jar, _ := cookiejar.New(nil) // cannot fail
	web := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	defer web.CloseIdleConnections()
	get := func(path string) *http.Response {
		t.Helper()
		resp, err := web.Get(c.web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	token := c.forgot("kasa")
	form := url.Values{"token": {token}, "chosen": {"1"}, "password": {second}, "again": {second}, "hub": {hub.id.Name}}
	resp, err := web.PostForm(c.web.URL+"/reset", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, k := range jar.Cookies(resp.Request.URL) {
		if strings.Contains(k.Value, token) {
			t.Error("the token went on into a cookie")
		}
	}
	next := progress(t, get("/reset/live"))
	wants := func(what ...string) string {
		t.Helper()
		result, html := "", ""
		for html != "closed" {
			result, html = next()
			missing := false
			for _, w := range what {
				missing = missing || !strings.Contains(result+html, w)
			}
			if !missing {
				return html
			}
		}
		t.Fatalf("the live page never showed %q", what)
		return ""
	}
	if html := wants("0 of 3 devices are signed in again."); strings.Contains(html, token) {
		t.Error("the token is on the page")
	}
	in, err := hub.id.OpenGrant(hub.id.Name, want[*wire.Grant](t, hub.next("")))
	if err != nil {
		t.Fatal(err)
	}
	hub.signIn(2, in.Secret, gs[:1])
	wants("1 of 3 devices are signed in again.")
	// The state that a hub reports of a device is shown with a hint for its owner; an unreadable one is not.
	state := func(id, payload string) {
		report := mqtt.Message{Topic: wire.StateTopic(hub.account, id), Payload: []byte(payload), Retained: true}
		if err := hub.conn.Publish(report); err != nil {
			t.Fatal(err)
		}
	}
	state(gs[2].id, `{"name":"the <garage>","verdict":"unreachable","since":"2026-11-23T12:00:00Z"}`)
	wants("1 signed in, 1 needs you.", "the &lt;garage&gt;", "does not answer", "Switch it on")
	was := c.drops("malformed")
	state(gs[2].id, `{"verdict":7}`)
	state(gs[2].id, `{"verdict":"`+strings.Repeat("x", 100)+`"}`)
	c.dropped("malformed", was+2)
	hub.signIn(2, in.Secret, gs[1:])
	wants("3 of 3 devices are signed in again.", "You need do nothing more.")

	// Once the password has changed again, what this person may see has ended.
	if code := c.reset(c.forgot("web"), third); code != 0 {
		t.Fatal(code)
	}
	for html := ""; html != "closed"; {
		if result, h := next(); strings.HasPrefix(result, "0 of 3") {
			t.Error("a later change is shown")
		} else {
			html = h
		}
	}
	if resp := get("/reset/live"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a ticket of an older change: %d", resp.StatusCode)
	}
}

func TestADisownedChangeTakesTheHubsThatCameSinceAlong(t *testing.T) {
	c := open(t, nil)
	_, mine, _ := c.enrolled()
	mine.plugs("mine-", 2)
	change := p{"cloudUserName": email, "oldCloudPassword": password, "newCloudPassword": second}
	if code := c.call("", "modifyCloudPassword", change, nil); code != 0 {
		t.Fatal(code) // by an intruder who knew the password
	}
	eventually(t, "the mail about it", func() bool { return c.mail.count("Your password was changed") == 1 })
	c.mail.mu.Lock()
	notMe := regexp.MustCompile(`/notme#t=([A-Z2-7]+)`).FindStringSubmatch(c.mail.mails[len(c.mail.mails)-1].Text)[1]
	c.mail.mu.Unlock()
	login := func() (string, int) {
		token, _, code := c.login(second, "Kasa_Android")
		return token, int(code)
	}
	theirs, code := login()
	if code != 0 {
		t.Fatal(code)
	}
	intruder, _ := c.hub(c.pair(theirs))
	intruder.plugs("theirs-", 1)
	unused := c.pair(theirs)
	spoken := c.forgot("web") // the intruder's, or the owner's: it dies too
	if err := c.s.Disown(t.Context(), notMe); err != nil {
		t.Fatal(err)
	}
	if code := c.call(theirs, "getDeviceList", p{}, nil); code != -20651 {
		t.Errorf("the intruder's session: %d", code)
	}
	if _, code := login(); code != -20601 {
		t.Errorf("the intruder's password: %d", code)
	}
	if code := c.reset(spoken, third); code != -20673 {
		t.Errorf("a reset link from before: %d", code)
	}
	refusedWith(t, intruder.ask(&wire.Hello{Account: intruder.account}), wire.CodeUnknown)
	late := c.member(wire.RoleHub, unused.Account)
	refusedWith(t, late.ask(enrolment(late.id, unused)), wire.CodePairing)
	eventually(t, "a reset mail", func() bool { return c.mail.count("Reset your password") == 2 })
	c.mail.mu.Lock()
	fresh := tokenIn.FindStringSubmatch(c.mail.mails[len(c.mail.mails)-1].Text)[1]
	c.mail.mu.Unlock()
	if code := c.reset(fresh, third); code != 0 {
		t.Fatal(code)
	}
	token, _, last := c.login(third, "Kasa_Android")
	if last != 0 {
		t.Fatal(last)
	}
	_, welcome := mine.hello(2)
	if welcome == nil || !welcome.Notice.Exposed {
		t.Errorf("the notice after a disowned change does not report it: %+v", welcome)
	}
	if listed, _ := c.online(token); listed != 2 {
		t.Errorf("%d devices are listed, want the owner's 2", listed)
	}
	if err := c.s.Disown(t.Context(), notMe); err == nil {
		t.Error("the link works twice")
	}
	if _, w := mine.hello(1); w.Notice.Epoch != 3 || !w.Notice.Exposed {
		t.Errorf("the notice after a disowned change: %+v", w.Notice)
	}
}

func TestATicketIsMadeByTheServiceAndEnds(t *testing.T) {
	c := open(t, nil)
	c.register()
	begun, err := c.s.Reset(t.Context(), c.forgot("web"), second, account.Choices{})
	if err != nil {
		t.Fatal(err)
	}
	shows := func(word string) bool {
		_, _, stop, ok := c.s.Watch(word)
		if ok {
			stop()
		}
		return ok
	}
	good := begun.Ticket
	for i := range good {
		if forged := good[:i] + string(rune(good[i]^1)) + good[i+1:]; shows(forged) {
			t.Errorf("shown with %s", forged)
		}
	}
	for _, forged := range []string{"", "...", good + ".", good + "A", good[:len(good)-1]} {
		if shows(forged) {
			t.Errorf("shown with %s", forged)
		}
	}
	c.stop()
	c.start() // another instance of the service
	if !shows(good) {
		t.Error("another instance does not know the ticket")
	}
	c.clock.add(time.Hour + time.Minute)
	if shows(good) {
		t.Error("the ticket has no end")
	}
}
