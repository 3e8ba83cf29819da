package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore"
)

const (
	benchDevices   = 10_000
	benchObservers = 16 // devices observed at once
	benchWindow    = 1  // requests that a link has open at once
)

// benchHouse is the account service and a hub's end of the link, in one process, with devices bound and signed in.
// There is no engine: the benchmark itself writes to the store that a device holds the newest password.
type benchHouse struct {
	b       *testing.B
	service *Service
	store   *heldStore
	link    *cloudlink.Link
	api     *v1.Client
	ids     []home.DeviceID
	mail    chan string // tokens of reset links
	epochs  chan home.Epoch
	changes int
	tap     tap
}

// heldStore hides the queued sign-ins from the link while hold is set.
type heldStore struct {
	linkStore
	hold atomic.Bool
}

func (h *heldStore) Errands(n int) ([]home.Errand, error) {
	es, err := h.linkStore.Errands(n)
	if !h.hold.Load() {
		return es, err
	}
	return slices.DeleteFunc(es, func(e home.Errand) bool { return e.Kind == home.ErrandSignIn }), err
}

var resetToken = regexp.MustCompile(`reset#t=([A-Z2-7]+)`)

// Send is mail.Mailer.
func (h *benchHouse) Send(_ context.Context, m mail.Mail) error {
	if t := resetToken.FindStringSubmatch(m.Text); t != nil {
		h.mail <- t[1]
	}
	return nil
}

func (h *benchHouse) ok(err error) {
	h.b.Helper()
	if err != nil {
		h.b.Fatal(err)
	}
}

func (h *benchHouse) password() string { return fmt.Sprintf("Kettle-Otter-%05d", h.changes) }

func (h *benchHouse) call(token, method string, params, result any) {
	h.b.Helper()
	h.ok(h.api.Call(h.b.Context(), home.NewSecret(token), method, params, result))
}

// login signs the owner in, and returns the token.
func (h *benchHouse) login() string {
	h.b.Helper()
	var in struct{ Token string }
	h.call("", "login", map[string]string{
		"appType": Web.AppType, "cloudUserName": ownerEmail, "cloudPassword": h.password(), "terminalUUID": "bench",
	}, &in)
	return in.Token
}

// newBenchHouse makes a house of n devices over an embedded broker, or over another one.
func newBenchHouse(b *testing.B, n int, brokers ...string) *benchHouse {
	b.Helper()
	h := &benchHouse{b: b, mail: make(chan string, 2048), epochs: make(chan home.Epoch, 16)}
	dir, log := b.TempDir(), slog.New(slog.DiscardHandler)
	o := ServiceOptions{
		State: dir, Listen: "127.0.0.1:0", Broker: "127.0.0.1:0", Brokers: brokers, Mail: h,
		Policy: account.DefaultPolicy(), Log: log,
	}
	// The owner of this account forgets often, and all clients have one address.
	o.Policy.Activation, o.Policy.ForgotPause, o.Policy.ForgotPerHour, o.Policy.ForgotFrom = false, 0, 1000, 100_000
	o.Policy.ConnectionsFrom = 100_000
	var err error
	h.service, err = NewService(o)
	h.ok(err)
	b.Cleanup(h.service.Close)
	if l := h.service.brokerListener; l != nil {
		h.tap.Listener = l.first
		l.first = &h.tap
	}
	store, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "hub"), Log: log})
	h.ok(err)
	b.Cleanup(func() { _ = store.Close() })
	h.store = &heldStore{linkStore: linkStore{store}}
	keys, err := store.HubKeys()
	h.ok(err)
	id, err := wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	h.ok(err)
	boot, err := store.NextBoot()
	h.ok(err)
	h.link, err = cloudlink.New(cloudlink.Options{
		Identity: id, Store: h.store, Boot: boot, Log: log, Version: "bench", Name: "bench",
		Began: func(e home.Epoch) { h.epochs <- e },
	})
	h.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = h.service.Run(ctx) })
	parts.Go(func() { _ = h.link.Run(ctx) })
	b.Cleanup(func() { stop(); parts.Wait() })
	h.api, err = v1.New(h.service.URL())
	h.ok(err)
	h.bind(n)
	return h
}

// bind registers an account, enrols the hub, binds n devices and signs them in.
func (h *benchHouse) bind(n int) {
	h.b.Helper()
	h.call("", "register", map[string]string{"email": ownerEmail, "password": h.password()}, nil)
	var word struct{ Pairing string }
	h.call(h.login(), "createPairing", struct{}{}, &word)
	p, err := pairing.Parse(word.Pairing)
	h.ok(err)
	h.ok(h.link.Enrol(h.b.Context(), p, ownerEmail, home.NewSecret(h.password())))
	a, err := h.store.Account()
	h.ok(err)
	var ds []home.Device
	for i := range n {
		mac := fmt.Sprintf("50c7bf%06x", i)
		d := home.Device{
			ID: home.DeviceID("mac-" + mac), Keys: []string{"mac:" + mac},
			Name: fmt.Sprint("plug ", i), Kind: home.Plug, Protocol: home.IOT, Model: "HS110(EU)",
		}
		ds, h.ids = append(ds, d), append(h.ids, d.ID)
	}
	h.ok(h.store.Bind(a.ID, ds))
	h.observe(a.Epoch)
	h.confirmed(a.Epoch)
}

// observe writes to the store that every device holds the epoch, as the engine does after a probe.
func (h *benchHouse) observe(e home.Epoch) {
	h.b.Helper()
	var all sync.WaitGroup
	errs := make([]error, benchObservers)
	for w := range benchObservers {
		all.Go(func() {
			for i := w; i < len(h.ids) && errs[w] == nil; i += benchObservers {
				_, errs[w] = h.store.Observe(h.ids[i], home.Verdict{State: home.Current, Epoch: e}, 0, time.Now())
				h.link.Wake()
			}
		})
	}
	all.Wait()
	h.ok(errors.Join(errs...))
}

// confirmed waits until the service has answered everything that the hub has queued.
func (h *benchHouse) confirmed(e home.Epoch) {
	h.b.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		es, err := h.store.linkStore.Errands(1)
		h.ok(err)
		if len(es) == 0 {
			return
		}
		if time.Now().After(end) {
			h.b.Fatalf("epoch %d is not confirmed: %s of %s waits", e, es[0].Kind, es[0].Device)
		}
	}
}

// reset is one forgotten password, from the request that sets the new one until every device is signed in. With apart,
// the link gets the sign-ins only after all devices were observed, and signIn is the time that they take alone.
func (h *benchHouse) reset(apart bool) (epoch, observed, signIn, all time.Duration) {
	h.b.Helper()
	h.call("", "getResetPasswordEmail", map[string]string{"email": ownerEmail, "appType": Web.AppType}, nil)
	token := <-h.mail
	for len(h.epochs) > 0 {
		<-h.epochs
	}
	h.store.hold.Store(apart)
	began := time.Now()
	h.changes++
	h.call("", "resetPassword", map[string]string{"token": token, "newPassword": h.password()}, nil)
	e := <-h.epochs
	epoch = time.Since(began)
	h.observe(e)
	observed = time.Since(began)
	h.store.hold.Store(false)
	h.link.Wake()
	h.confirmed(e)
	all = time.Since(began)
	h.check(e)
	return epoch, observed, all - observed, all
}

// check fails unless both ends have every device at the epoch.
func (h *benchHouse) check(e home.Epoch) {
	h.b.Helper()
	var list struct{ DeviceList []struct{ Status int } }
	h.call(h.login(), "getDeviceList", struct{}{}, &list)
	online, current := 0, 0
	for _, d := range list.DeviceList {
		online += d.Status
	}
	bs, err := h.store.Bindings()
	h.ok(err)
	for _, b := range bs {
		if b.Current(e) {
			current++
		}
	}
	if online != len(h.ids) || current != len(h.ids) {
		h.b.Fatalf("of %d devices %d are online at the service, and %d current at the hub", len(h.ids), online, current)
	}
}

// overBrokers runs a benchmark over the embedded broker and over mosquitto.
func overBrokers(b *testing.B, run func(b *testing.B, brokers ...string)) {
	b.Run("broker=embedded", func(b *testing.B) { run(b) })
	b.Run("broker=mosquitto", func(b *testing.B) { run(b, "mqtt://"+nettest.Mosquitto(b)) })
}

// BenchmarkReset is a forgotten password for 10,000 devices, from the request that sets the new one to the last
// confirmation. Every device is observed on the way. Both ends sync bbolt. Beside it paho moves the same
// messages, and does nothing else.
func BenchmarkReset(b *testing.B) {
	var moved traffic
	overBrokers(b, func(b *testing.B, brokers ...string) {
		b.Run("by=rekeyd", func(b *testing.B) {
			h := newBenchHouse(b, benchDevices, brokers...)
			if moved.count() == 0 && len(brokers) == 0 { // in a run of its own: recording costs time
				h.tap.on.Store(true)
				h.reset(false)
				h.tap.on.Store(false)
				moved = h.tap.traffic(b)
			}
			var epochs, observing, total time.Duration
			for range b.N {
				e, o, _, all := h.reset(false)
				epochs, observing, total = epochs+e, observing+o, total+all
			}
			n := float64(b.N)
			b.ReportMetric(float64(total.Nanoseconds())/n, "ns/op")
			b.ReportMetric(float64(epochs.Milliseconds())/n, "epoch-ms")
			b.ReportMetric(float64(observing.Milliseconds())/n, "observed-ms")
			b.ReportMetric(benchDevices*n/total.Seconds(), "devices/s")
			if moved.count() > 0 {
				b.ReportMetric(float64(moved.count()), "messages")
				b.ReportMetric(float64(moved.bytes())/1e6, "MB")
			}
		})
		b.Run("by=paho-same-messages", func(b *testing.B) { pahoMoves(b, moved, brokers...) })
	})
}

// BenchmarkSignIn signs 10,000 devices in again that were already observed at the newest epoch: the link, the service
// and their stores alone.
func BenchmarkSignIn(b *testing.B) {
	overBrokers(b, func(b *testing.B, brokers ...string) {
		h := newBenchHouse(b, benchDevices, brokers...)
		total := time.Duration(0)
		for range b.N {
			_, _, signIn, _ := h.reset(true)
			total += signIn
		}
		b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/op")
		b.ReportMetric(benchDevices*float64(b.N)/total.Seconds(), "devices/s")
	})
}
