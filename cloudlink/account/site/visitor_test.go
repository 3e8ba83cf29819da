package site_test

import (
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
	return visitBelow(t, "", set)
}

// visitBelow is visit of a site that people reach below a path.
func visitBelow(t *testing.T, path string, set func(*account.Policy)) *visitor {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	web := httptest.NewUnstartedServer(nil)
	p := account.DefaultPolicy()
	p.HashMemory, p.HashTime, p.ForgotAnswer = 64, 1, 10*time.Millisecond
	p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 0, 1000, 1000
	p.Activation = true
	if set != nil {
		set(&p)
	}
	v := &visitor{t: t, url: "http://" + web.Listener.Addr().String(), mail: &box{}, lang: "en", used: map[string]bool{}}
	st, err := boltstore.Open(t.TempDir(), home.Secret{})
	must(t, err)
	v.st = st
	s, err := server.New(server.Options{
		Store: st, BaseURL: v.url + path, Names: home.MachineNames("hub"), Brokers: []string{"mqtt://127.0.0.1:1"}, Mail: v.mail,
		Policy: p, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	web.Config.Handler = s.Handler()
	web.Start()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	jar, _ := cookiejar.New(nil) // cannot fail
	v.http = &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{}}
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

// shows checks the status and the texts of a page.
func (v *visitor) shows(p page, code int, texts ...string) page {
	v.t.Helper()
	if p.code != code {
		v.t.Errorf("%s: status %d, want %d\n%s", p.path, p.code, code, p.body)
	}
	for _, s := range texts {
		if !strings.Contains(p.body, s) {
			v.t.Errorf("%s does not show %q:\n%s", p.path, s, p.body)
		}
	}
	return p
}

// token waits for a mail with a link to the path, not one that was taken before, and returns its token.
func (v *visitor) token(path string) string {
	v.t.Helper()
	in := regexp.MustCompile(regexp.QuoteMeta(v.url) + path + `#t=([A-Z2-7]+)`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
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
	v.shows(v.registers(email, first, first), 200, "Look into your mail")
	v.shows(v.post("/activate", "token", v.token("/activate")), 200, "Your account is active")
}

func (v *visitor) signIn(password string) page {
	v.t.Helper()
	return v.post("/signin", "email", email, "password", password)
}

// registers sends the form of a new account.
func (v *visitor) registers(address, password, again string) page {
	v.t.Helper()
	return v.post("/register", "email", address, "password", password, "again", again)
}

// chooses sends the form of a new password with the code from a mail.
func (v *visitor) chooses(token, password, again string) page {
	v.t.Helper()
	return v.post("/reset", "token", token, "chosen", "1", "password", password, "again", again)
}

// changes sends the form that changes the password.
func (v *visitor) changes(old, password string) page {
	v.t.Helper()
	return v.post("/account/password", "old", old, "password", password, "again", password)
}

func (v *visitor) forgot() string {
	v.t.Helper()
	v.shows(v.post("/forgot", "email", email), 200, "Look into your mail")
	return v.token("/reset")
}
