package cloudlink_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

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

// hub starts a hub without an account.
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
		Sharing: b.store,
		Began:   func(home.Epoch) { b.began.Add(1) },
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

// settled waits until both ends hold the same: every device signed in at e, no errand left.
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

// honest checks the promise: the service has each fact for which the hub has no errand. It may be called at any time
// in an epoch that both have begun.
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
			t.Fatalf("the hub has no errand to bind %s, and the service does not list it", d.Device)
		}
		if d.DeviceEpoch == e && !waits[string(home.ErrandSignIn)+string(d.Device)] && !is {
			t.Fatalf("the hub has no errand to sign %s in at %d, and it is not signed in", d.Device, e)
		}
		if d.CloudEpoch > d.DeviceEpoch {
			t.Fatalf("%s is signed in at %d, and was only seen at %d", d.Device, d.CloudEpoch, d.DeviceEpoch)
		}
	}
}
