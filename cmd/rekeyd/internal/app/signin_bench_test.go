package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

const (
	benchDevices   = 10_000
	benchObservers = 16 // devices observed at once
	benchWindow    = 1  // requests that a link has open at once
)

// benchHouse is the account service and a hub's end of the link, in one process, with devices bound and signed in.
// There is no engine: the benchmark itself writes to the store that a device holds the newest password.
type benchHouse struct {
	client
	b       *testing.B
	service *Service
	store   *heldStore
	link    *cloudlink.Link
	ids     []home.DeviceID
	epochs  chan home.Epoch
	changes int
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

func (h *benchHouse) password() string { return fmt.Sprintf("Kettle-Otter-%05d", h.changes) }

// newBenchHouse makes a house of n devices over an embedded broker, or over another one.
func newBenchHouse(b *testing.B, n int, brokers ...string) *benchHouse {
	b.Helper()
	h := &benchHouse{client: client{t: b, mails: make(chan mail.Mail, 2048)}, b: b, epochs: make(chan home.Epoch, 16)}
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
	h.must(err)
	b.Cleanup(h.service.Close)
	hub, err := NewHub(HubOptions{
		State: filepath.Join(dir, "hub"), Service: h.service, Listen: "127.0.0.1:0", Log: log,
		edges: edges{link: func(o *cloudlink.Options) {
			h.store = &heldStore{linkStore: o.Store.(linkStore)}
			o.Store, o.Began = h.store, func(e home.Epoch) { h.epochs <- e }
		}},
	})
	h.must(err)
	b.Cleanup(hub.Close)
	h.link = hub.link
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = h.service.Run(ctx) })
	parts.Go(func() { _ = h.link.Run(ctx) })
	b.Cleanup(func() { stop(); parts.Wait() })
	h.api, err = v1.New(h.service.URL())
	h.must(err)
	h.must(h.call("", "register", map[string]string{"email": ownerEmail, "password": h.password()}, nil))
	h.must(h.enrol(hub, h.password()))
	h.bind(n)
	return h
}

// bind binds n devices and signs them in.
func (h *benchHouse) bind(n int) {
	h.b.Helper()
	a, err := h.store.Account()
	h.must(err)
	var ds []home.Device
	for i := range n {
		mac := fmt.Sprintf("50c7bf%06x", i)
		d := home.Device{
			ID: home.DeviceID("mac-" + mac), Keys: []string{"mac:" + mac},
			Name: fmt.Sprint("plug ", i), Kind: home.Plug, Protocol: home.IOT, Model: "HS110(EU)",
		}
		ds, h.ids = append(ds, d), append(h.ids, d.ID)
	}
	h.must(h.store.Bind(a.ID, ds))
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
	h.must(errors.Join(errs...))
}

// confirmed waits until the service has answered everything that the hub has queued.
func (h *benchHouse) confirmed(e home.Epoch) {
	h.b.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		es, err := h.store.linkStore.Errands(1)
		h.must(err)
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
	h.must(h.call("", "getResetPasswordEmail", map[string]string{"email": ownerEmail, "appType": Web.AppType}, nil))
	token, _ := h.linkOf("reset")
	for len(h.epochs) > 0 {
		<-h.epochs
	}
	h.store.hold.Store(apart)
	began := time.Now()
	h.changes++
	h.must(h.call("", "resetPassword", map[string]string{"token": token, "newPassword": h.password()}, nil))
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
	token, err := h.signIn(h.password())
	h.must(err)
	h.must(h.call(token, "getDeviceList", struct{}{}, &list))
	online, current := 0, 0
	for _, d := range list.DeviceList {
		online += d.Status
	}
	bs, err := h.store.Bindings()
	h.must(err)
	for _, b := range bs {
		if b.Current(e) {
			current++
		}
	}
	if online != len(h.ids) || current != len(h.ids) {
		h.b.Fatalf("of %d devices %d are online at the service, and %d current at the hub", len(h.ids), online, current)
	}
}

// overBrokers runs a benchmark over mosquitto and over the embedded broker.
func overBrokers(b *testing.B, run func(b *testing.B, brokers ...string)) {
	b.Run("broker=mosquitto", func(b *testing.B) { run(b, "mqtt://"+nettest.Mosquitto(b)) })
	b.Run("broker=embedded", func(b *testing.B) { run(b) })
}

// BenchmarkReset is a forgotten password for 10,000 devices, from the request that sets the new one to the last
// confirmation. Every device is observed on the way. Both ends sync bbolt. Beside it paho moves the same messages, as
// mosquitto shows them in a run of its own, and does nothing else.
func BenchmarkReset(b *testing.B) {
	var moved traffic
	overBrokers(b, func(b *testing.B, brokers ...string) {
		b.Run("by=rekeyd", func(b *testing.B) {
			h := newBenchHouse(b, benchDevices, brokers...)
			if len(brokers) > 0 && moved.count() == 0 {
				stop := record(b, brokers[0])
				h.reset(false)
				moved = stop()
			}
			var epochs, observing, total time.Duration
			for range b.N {
				e, o, _, all := h.reset(false)
				epochs, observing, total = epochs+e, observing+o, total+all
			}
			report(b, benchDevices, total)
			b.ReportMetric(float64(epochs.Milliseconds())/float64(b.N), "epoch-ms")
			b.ReportMetric(float64(observing.Milliseconds())/float64(b.N), "observed-ms")
		})
		b.Run("by=paho-same-messages", func(b *testing.B) { pahoMoves(b, moved, brokers...) })
	})
}

// report reports the time of an operation with n devices.
func report(b *testing.B, n int, total time.Duration) {
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(n*b.N)/total.Seconds(), "devices/s")
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
		report(b, benchDevices, total)
	})
}
