package cloudlink_test

import (
	"context"
	"fmt"
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

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
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

// hub is a link with its store.
type hub struct {
	h       *house
	dir     string
	store   *localstore.Store
	id      *wire.Identity
	link    *cloudlink.Link
	stop    func()
	account home.AccountID
	devices []home.DeviceID
	began   atomic.Int64
	log     *dropLog

	set func(*cloudlink.Options)
}

// hub starts a hub that belongs to nobody yet.
func (h *house) hub(set func(*cloudlink.Options)) *hub {
	h.t.Helper()
	return h.hubOn(h.t.TempDir(), set)
}

// hubOn starts a hub on the state in dir.
func (h *house) hubOn(dir string, set func(*cloudlink.Options)) *hub {
	h.t.Helper()
	b := &hub{h: h, dir: dir, set: set}
	b.start()
	h.t.Cleanup(func() { b.stop() })
	return b
}

// start starts the link on what it left behind.
func (b *hub) start() {
	t := b.h.t
	t.Helper()
	var err error
	b.store, err = localstore.Open(localstore.Options{Dir: b.dir, Log: quiet})
	must(t, err)
	keys, err := b.store.HubKeys()
	must(t, err)
	b.id, err = wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	must(t, err)
	boot, err := b.store.NextBoot()
	must(t, err)
	b.log = newDropLog(b.h.log.With("part", "link"))
	o := cloudlink.Options{
		Identity: b.id, Store: b.store, Boot: boot, Version: "1", Name: "hall", Log: slog.New(b.log),
		Began: func(home.Epoch) { b.began.Add(1) },
	}
	if b.set != nil {
		b.set(&o)
	}
	b.link, err = cloudlink.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.link.Run(ctx) }()
	var once sync.Once
	store := b.store
	b.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("link: %v", err)
			}
			must(t, store.Close())
		})
	}
}

// enrol pairs the hub with the account.
func (b *hub) enrol() {
	t := b.h.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := b.h.pair()
	must(t, b.link.Enrol(ctx, p, email, home.NewSecret(password)))
	b.account = home.AccountID(p.Account)
}

func (h *house) pair() pairing.Pairing {
	h.t.Helper()
	var r struct{ Pairing string }
	h.call("createPairing", struct{}{}, &r)
	p, err := pairing.Parse(r.Pairing)
	must(h.t, err)
	return p
}

// bind binds n plugs, and sees each hold the newest epoch.
func (b *hub) bind(n int) {
	t := b.h.t
	t.Helper()
	var ds []home.Device
	for range n {
		id := home.DeviceID(fmt.Sprintf("mac-50c7bf%06x", len(b.devices)))
		ds = append(ds, home.Device{ID: id, Kind: home.Plug, Protocol: home.IOT, Name: "plug"})
		b.devices = append(b.devices, id)
	}
	must(t, b.store.Bind(b.account, ds))
	b.see(b.epoch())
}

func (b *hub) epoch() home.Epoch {
	b.h.t.Helper()
	a, err := b.store.Account()
	must(b.h.t, err)
	return a.Epoch
}

// see has a probe find that each device holds an epoch.
func (b *hub) see(e home.Epoch) {
	t := b.h.t
	t.Helper()
	var all sync.WaitGroup // they share commits
	for _, d := range b.devices {
		all.Go(func() {
			if _, err := b.store.Observe(d, home.Verdict{State: home.Current, Epoch: e}, 0, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	b.link.Wake()
}

// waitEpoch waits for a grant.
func (b *hub) waitEpoch(e home.Epoch, within time.Duration) {
	b.h.t.Helper()
	eventually(b.h.t, within, fmt.Sprintf("epoch %d", e), func() bool { return b.epoch() >= e })
}

// settled waits until both ends hold the same: every device signed in at e, nothing left to tell.
func (b *hub) settled(e home.Epoch, within time.Duration) {
	b.h.t.Helper()
	eventually(b.h.t, within, fmt.Sprintf("all devices signed in at %d", e), func() bool {
		es, err := b.store.Errands(1)
		must(b.h.t, err)
		return len(es) == 0
	})
	b.honest()
	bs, err := b.store.Bindings()
	must(b.h.t, err)
	for _, d := range bs {
		if d.CloudEpoch != e || d.DeviceEpoch != e {
			b.h.t.Fatalf("%s is at %d, and at %d in the cloud, want %d", d.Device, d.DeviceEpoch, d.CloudEpoch, e)
		}
	}
	on := b.h.online()
	for _, d := range b.devices {
		if !on[d] {
			b.h.t.Fatalf("%s is not signed in", d)
		}
	}
}

// honest checks the promise: what the hub no longer means to tell, the service has. It may be called at any time in an
// epoch that both have begun.
func (b *hub) honest() {
	t := b.h.t
	t.Helper()
	e := b.epoch() // first this end, then the other, which may only be further
	es, err := b.store.Errands(1 << 20)
	must(t, err)
	bs, err := b.store.Bindings()
	must(t, err)
	on := b.h.online()
	waits := map[string]bool{}
	for _, x := range es {
		waits[string(x.Kind)+string(x.Device)] = true
	}
	for _, d := range bs {
		is, listed := on[d.Device]
		if !waits[string(home.ErrandBind)+string(d.Device)] && !listed {
			t.Fatalf("the hub believes that %s is bound, and the service does not list it", d.Device)
		}
		if d.DeviceEpoch == e && !waits[string(home.ErrandSignIn)+string(d.Device)] && !is {
			t.Fatalf("the hub believes that %s is signed in at %d, and it is not", d.Device, e)
		}
		if d.CloudEpoch > d.DeviceEpoch {
			t.Fatalf("%s is signed in at %d, and was only seen at %d", d.Device, d.CloudEpoch, d.DeviceEpoch)
		}
	}
}
