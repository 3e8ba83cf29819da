package cloudlink_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	email    = "Anna.Owner@example.org"
	password = "first-Horse-Battery"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok, for a bounded time.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	// polls what other goroutines and sockets do
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// house is the account service, a broker, a carrier that may be hostile, and hubs, on sockets of this machine.
type house struct {
	t       testing.TB
	dir     string
	web     *httptest.Server
	api     *v1.Client
	carrier *carrier
	outer   string // address of a broker elsewhere; the embedded one when empty
	log     *slog.Logger

	mails   chan mail.Mail
	service atomic.Pointer[server.Server]
	local   string // the broker's address
	port    string // of the embedded broker, kept over restarts
	stop    func() // of service and broker
	token   string
}

// Send keeps a mail.
func (h *house) Send(_ context.Context, m mail.Mail) error {
	h.mails <- m
	return nil
}

// AccountOf and Holds ask the service that runs.
func (h *house) AccountOf(member string) (string, bool) { return h.service.Load().AccountOf(member) }

func (h *house) Holds(hub, device string) bool { return h.service.Load().Holds(hub, device) }

func policy() account.Policy {
	p := account.DefaultPolicy()
	p.Activation = false
	p.HashMemory, p.HashTime = 64, 1
	p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = time.Millisecond, 0, 1000, 1000
	return p
}

// open opens a house. outer is the address of a broker that runs already; empty for the embedded one.
func open(t testing.TB, outer string) *house {
	t.Helper()
	h := openOn(t, t.TempDir(), outer)
	h.call("register", map[string]any{"email": email, "password": password}, nil)
	h.login(password)
	return h
}

// openOn opens a house on the state of an account service. Its owner is not signed in.
func openOn(t testing.TB, dir, outer string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, outer: outer, mails: make(chan mail.Mail, 1000), log: quiet}
	if os.Getenv("LINK_LOG") != "" { // to see what a failure was about
		h.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.service.Load().API().ServeHTTP(w, r)
	}))
	t.Cleanup(h.web.Close)
	var err error
	h.api, err = v1.New(h.web.URL)
	must(t, err)
	h.carrier = carry(t, "")
	t.Cleanup(h.carrier.close)
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

// start starts service and broker on what they left behind. stop ends them.
func (h *house) start() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	h.local = h.outer
	var l net.Listener
	if h.outer == "" {
		var err error
		if h.port == "" {
			h.port = "127.0.0.1:0"
		}
		l, err = net.Listen("tcp", h.port)
		must(h.t, err)
		h.port = l.Addr().String()
		h.local = h.port
	}
	st, err := boltstore.Open(h.dir, home.Secret{})
	must(h.t, err)
	s, err := server.New(server.Options{
		Store: st, BaseURL: h.web.URL, Brokers: []string{"mqtt://" + h.local}, HubBrokers: h.brokers(),
		Mail: h, Policy: policy(), Log: h.log.With("part", "account"),
	})
	must(h.t, err)
	h.service.Store(s)
	if l != nil {
		b, err := broker.New(broker.Options{Directory: h, Service: s.Name(), Log: h.log.With("part", "broker")})
		must(h.t, err)
		parts.Go(func() { _ = b.Serve(ctx, l) })
	}
	parts.Go(func() { _ = s.Run(ctx) })
	h.carrier.lead(h.local)
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			parts.Wait()
			if err := s.Close(); err != nil {
				h.t.Error(err)
			}
		})
	}
}

// brokers are what hubs dial: the carrier, many times, because a link rests only when it has tried all.
func (h *house) brokers() []string {
	urls := make([]string, 30)
	for i := range urls {
		urls[i] = h.carrier.url()
	}
	return urls
}

func (h *house) call(method string, params, result any) {
	h.t.Helper()
	if err := h.api.Call(h.t.Context(), home.NewSecret(h.token), method, params, result); err != nil {
		h.t.Fatalf("%s: %v", method, err)
	}
}

func (h *house) login(pw string) {
	h.t.Helper()
	h.token = ""
	var r struct{ Token string }
	h.call(
		"login", map[string]any{"appType": "Kasa_Android", "cloudUserName": email, "cloudPassword": pw, "terminalUUID": "t"},
		&r,
	)
	h.token = r.Token
}

var tokenIn = regexp.MustCompile(`#t=([A-Z2-7]+)`)

// reset resets the forgotten password through a mail, and signs the owner in with the new one.
func (h *house) reset(pw string) {
	h.t.Helper()
	h.call("getResetPasswordEmail", map[string]any{"email": email, "door": "tpcamera"}, nil)
	for {
		select {
		case m := <-h.mails:
			if found := tokenIn.FindStringSubmatch(m.Text); m.Subject == "Reset your password" && len(found) == 2 {
				h.call("resetPassword", map[string]any{"token": found[1], "newPassword": pw}, nil)
				h.login(pw)
				return
			}
		case <-time.After(time.Minute):
			h.t.Fatal("no reset mail")
		}
	}
}

// online returns the devices that the service lists, and whether each is signed in at the newest epoch.
func (h *house) online() map[home.DeviceID]bool {
	h.t.Helper()
	var r struct {
		DeviceList []struct {
			DeviceID home.DeviceID
			Status   int
		}
	}
	h.call("getDeviceList", struct{}{}, &r)
	all := map[home.DeviceID]bool{}
	for _, d := range r.DeviceList {
		all[d.DeviceID] = d.Status == 1
	}
	return all
}
