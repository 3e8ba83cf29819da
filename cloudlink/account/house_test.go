package account_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	email    = "Anna.Owner@example.org"
	password = "first-Horse-Battery"
	second   = "second-Horse-Battery"
)

// spool is a Mailer that keeps what it is given, and can be dead.
type spool struct {
	mu    sync.Mutex // guards both
	dead  bool
	mails []mail.Mail
}

func (s *spool) Send(_ context.Context, m mail.Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("no mail server")
	}
	s.mails = append(s.mails, m)
	return nil
}

func (s *spool) count(subject string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mails {
		if m.Subject == subject {
			n++
		}
	}
	return n
}

// log is everything that was logged, for the search for secrets.
type log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tap is a listener that keeps what goes over its connections.
type tap struct {
	net.Listener
	to *log
}

type tapped struct {
	net.Conn
	to *log
}

func (l tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tapped{c, l.to}, nil
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.to.Write(p[:n])
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	_, _ = c.to.Write(p)
	return c.Conn.Write(p)
}

// clock is the time of day, ahead by as much as a test adds.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// cloud is the whole cloud end, on sockets of this machine.
type cloud struct {
	t      testing.TB
	dir    string
	policy account.Policy
	s      *server.Server
	api    *v1.Client
	web    *httptest.Server
	broker string
	mail   *spool
	mailer mail.Mailer
	late   *spool // what was given up
	log    *log
	logged int   // bytes in log when the service was started
	clock  clock // of the service

	passphrase home.Secret
	stop       func()

	carried *log // every byte between the broker and its clients
}

func quick() account.Policy {
	p := account.DefaultPolicy()
	p.Activation = false
	p.HashMemory, p.HashTime = 64, 1
	p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 20*time.Millisecond, 0, 1000, 1000
	return p
}

func open(t testing.TB, set func(*account.Policy)) *cloud {
	t.Helper()
	return openWith(t, nil, set)
}

// openWith is open with another mailer than the spool, where one is given.
func openWith(t testing.TB, mail mail.Mailer, set func(*account.Policy)) *cloud {
	t.Helper()
	return openAt(t, t.TempDir(), mail, set)
}

// openAt is openWith on the state in dir.
func openAt(t testing.TB, dir string, mail mail.Mailer, set func(*account.Policy)) *cloud {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	c := &cloud{
		t: t, dir: dir, policy: quick(), mail: &spool{}, mailer: mail, late: &spool{}, log: &log{}, carried: &log{},
	}
	if c.mailer == nil {
		c.mailer = c.mail
	}
	if set != nil {
		set(&c.policy)
	}
	c.start()
	t.Cleanup(func() {
		c.stop()
		goleak.VerifyNone(t, ignore)
	})
	return c
}

// start starts broker, service and web server; stop ends them, and they can be started again on the same state.
func (c *cloud) start() {
	t := c.t
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = tap{l, c.carried}
	c.broker = "mqtt://" + l.Addr().String()
	lg := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.logged = len(c.log.String())
	c.web = httptest.NewUnstartedServer(nil)
	st, err := boltstore.Open(c.dir, c.passphrase)
	if err != nil {
		t.Fatal(err)
	}
	c.s, err = server.New(server.Options{
		Store: st, BaseURL: "http://" + c.web.Listener.Addr().String(), Brokers: []string{c.broker}, Mail: c.mailer,
		Undelivered: c.late,
		Policy:      c.policy, Log: lg, Now: c.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.web.Config.Handler = c.s.Handler()
	c.web.Start()
	b, err := broker.New(broker.Options{Directory: c.s, Service: c.s.Name(), Log: lg})
	if err != nil {
		t.Fatal(err)
	}
	c.api, err = v1.New(c.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := b.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	parts.Go(func() {
		if err := c.s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var once sync.Once
	c.stop = func() {
		once.Do(func() {
			c.web.Close()
			cancel()
			parts.Wait()
			if err := c.s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// call calls the API and returns the error code, 0 for success.
func (c *cloud) call(token, method string, params, result any) v1.Code {
	c.t.Helper()
	err := c.api.Call(c.t.Context(), home.NewSecret(token), method, params, result)
	if e, ok := errors.AsType[*v1.Error](err); ok {
		return e.Code
	}
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	return 0
}

type p = map[string]any

func (c *cloud) register() {
	c.t.Helper()
	if code := c.call("", "register", p{"email": email, "password": password}, nil); code != 0 {
		c.t.Fatalf("register: %d", code)
	}
}

func (c *cloud) login(pw, app string) (token, refresh string, code v1.Code) {
	c.t.Helper()
	var r struct{ Token, RefreshToken string }
	code = c.call("", "login", p{
		"appType": app, "cloudUserName": email, "cloudPassword": pw, "terminalUUID": "t", "refreshTokenNeeded": true,
	}, &r)
	return r.Token, r.RefreshToken, code
}

// renew renews a session with a refresh token.
func (c *cloud) renew(app, refresh string) v1.Code {
	c.t.Helper()
	return c.call("", "refreshToken", p{"appType": app, "terminalUUID": "t", "refreshToken": refresh}, nil)
}

func (c *cloud) signIn() string {
	c.t.Helper()
	token, _, code := c.login(password, "Kasa_Android")
	if code != 0 {
		c.t.Fatalf("login: %d", code)
	}
	return token
}

func (c *cloud) pair(token string) pairing.Pairing {
	c.t.Helper()
	var r struct{ Pairing string }
	if code := c.call(token, "createPairing", p{}, &r); code != 0 {
		c.t.Fatalf("createPairing: %d", code)
	}
	w, err := pairing.Parse(r.Pairing)
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

// eventually waits until ok, for a bounded time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond) // polls what another process's worth of goroutines does
	}
	t.Fatalf("not in time: %s", what)
}

var tokenIn = regexp.MustCompile(`#t=([A-Z2-7]+)`)

// forgot asks for a reset and returns the token of the mail.
func (c *cloud) forgot(door string) string {
	c.t.Helper()
	n := c.mail.count("Reset your password")
	if code := c.call("", "getResetPasswordEmail", p{"email": strings.ToUpper(email), "door": door}, nil); code != 0 {
		c.t.Fatalf("getResetPasswordEmail: %d", code)
	}
	eventually(c.t, "a reset mail", func() bool { return c.mail.count("Reset your password") > n })
	c.mail.mu.Lock()
	defer c.mail.mu.Unlock()
	for i := len(c.mail.mails) - 1; i >= 0; i-- {
		if m := c.mail.mails[i]; m.Subject == "Reset your password" {
			if m.To != email {
				c.t.Fatalf("mail to %s, want the registered address", m.To)
			}
			return tokenIn.FindStringSubmatch(m.Text)[1]
		}
	}
	return ""
}

func (c *cloud) reset(token, pw string, leaveOut ...string) v1.Code {
	c.t.Helper()
	return c.call("", "resetPassword", p{"token": token, "newPassword": pw, "leaveOut": leaveOut}, nil)
}

// online returns how many devices are listed, and how many with status 1.
func (c *cloud) online(token string) (listed, online int) {
	c.t.Helper()
	var r struct {
		DeviceList []struct {
			DeviceID string
			Status   int
		}
	}
	if code := c.call(token, "getDeviceList", p{}, &r); code != 0 {
		c.t.Fatalf("getDeviceList: %d", code)
	}
	for _, d := range r.DeviceList {
		online += d.Status
	}
	return len(r.DeviceList), online
}

// everything returns the bytes of every file of the state, and the log.
func (c *cloud) everything() map[string][]byte {
	c.t.Helper()
	all := map[string][]byte{"the log": []byte(c.log.String())}
	err := filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		all[path], err = io.ReadAll(f)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
