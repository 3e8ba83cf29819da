package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// linkWindow is how many conversations a link has open at once, unless told otherwise: the baseline has as many messages on their way.
const linkWindow = 4

// observers is how many devices are observed at once.
const observers = 16

const owner = "owner@example.org"

// rig is the cloud end and a hub, with devices bound and signed in at the newest epoch.
type rig struct {
	dir       string
	hub       *wire.Identity
	service   *server.Server
	store     *held
	link      *cloudlink.Link
	api       *v1.Client
	base      string // of the account service
	mail      mailbox
	devices   []home.DeviceID
	began     chan home.Epoch
	passwords int       // how many there were
	profile   io.Writer // takes a CPU profile of the first sign-in that happens apart; may be nil

	stop  context.CancelFunc
	parts sync.WaitGroup
	ends  []func() error
}

// held is a store that can keep sign-ins from the link until a moment.
type held struct {
	*localstore.Store
	hold atomic.Bool
}

func (h *held) Errands(n int) ([]home.Errand, error) {
	es, err := h.Store.Errands(n)
	if h.hold.Load() {
		kept := es[:0]
		for _, e := range es {
			if e.Kind != home.ErrandSignIn {
				kept = append(kept, e)
			}
		}
		return kept, err
	}
	return es, err
}

// mailbox is a Mailer that keeps the newest token that was mailed.
type mailbox chan string

var tokenIn = regexp.MustCompile(`reset#t=([A-Z2-7]+)`)

func (b mailbox) Send(_ context.Context, m mail.Mail) error {
	if t := tokenIn.FindStringSubmatch(m.Text); t != nil {
		b <- t[1]
	}
	return nil
}

// newRig makes a rig over an embedded broker that tap sees.
func newRig(ctx context.Context, o options, tap *tap) (*rig, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return buildRig(ctx, o, "mqtt://"+l.Addr().String(), tap.listener(l))
}

// newRigAt makes one over a broker that runs.
func newRigAt(ctx context.Context, o options, url string) (*rig, error) {
	return buildRig(ctx, o, url, nil)
}

func buildRig(ctx context.Context, o options, url string, own net.Listener) (_ *rig, err error) {
	r := &rig{mail: make(mailbox, 2048), began: make(chan home.Epoch, 16)}
	ctx, r.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	log := slog.New(slog.DiscardHandler)
	if r.dir, err = os.MkdirTemp(o.dir, "rekeyd-bench-"); err != nil {
		return nil, err
	}
	r.ends = append(r.ends, func() error { return os.RemoveAll(r.dir) })
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	base := "http://" + web.Addr().String()
	policy := account.DefaultPolicy()
	policy.Activation = false
	policy.ForgotPause, policy.ForgotPerHour, policy.ForgotFrom, policy.ForgotAnswer = 0, 1000, 100_000, o.answer // the owner of this one forgets often
	store, err := boltstore.Open(filepath.Join(r.dir, "account"), home.Secret{})
	if err != nil {
		return nil, err
	}
	r.service, err = server.New(server.Options{
		Store: store, BaseURL: base, Brokers: []string{url}, Mail: r.mail, Policy: policy, Log: log,
	})
	if err != nil {
		return nil, err
	}
	r.ends = append(r.ends, r.service.Close)
	if own != nil {
		b, err := broker.New(broker.Options{Directory: r.service, Service: r.service.Name(), Log: log})
		if err != nil {
			return nil, err
		}
		r.start(ctx, func(ctx context.Context) error { return b.Serve(ctx, own) })
	}
	r.start(ctx, r.service.Run)
	srv := &http.Server{Handler: r.service.API(), ReadHeaderTimeout: 5 * time.Second}
	r.parts.Go(func() { _ = srv.Serve(web) })
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	r.base = base
	if r.api, err = v1.New(base); err != nil {
		return nil, err
	}
	if err := r.openHub(ctx, log); err != nil {
		return nil, err
	}
	return r, r.settle(ctx, o.devices)
}

func (r *rig) start(ctx context.Context, run func(context.Context) error) {
	r.parts.Go(func() { _ = run(ctx) }) // one that ends early shows: nothing is confirmed any more
}

func (r *rig) openHub(ctx context.Context, log *slog.Logger) error {
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(r.dir, "hub"), Log: log})
	if err != nil {
		return err
	}
	r.ends = append(r.ends, s.Close)
	r.store = &held{Store: s}
	keys, err := s.HubKeys()
	if err != nil {
		return err
	}
	if r.hub, err = wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal())); err != nil {
		return err
	}
	boot, err := s.NextBoot()
	if err != nil {
		return err
	}
	r.link, err = cloudlink.New(cloudlink.Options{
		Identity: r.hub, Store: r.store, Boot: boot, Log: log, Version: "bench", Name: "bench",
		Began: func(e home.Epoch) { r.began <- e },
	})
	if err != nil {
		return err
	}
	r.start(ctx, r.link.Run)
	return nil
}

// settle registers an account, enrols the hub, binds the devices, and signs them in at the first epoch.
func (r *rig) settle(ctx context.Context, n int) error {
	pw := r.nextPassword()
	if err := r.call(ctx, "", "register", map[string]string{"email": owner, "password": pw}, nil); err != nil {
		return err
	}
	token, err := r.login(ctx)
	if err != nil {
		return err
	}
	var word struct{ Pairing string }
	if err := r.call(ctx, token, "createPairing", struct{}{}, &word); err != nil {
		return err
	}
	p, err := pairing.Parse(word.Pairing)
	if err != nil {
		return err
	}
	if err := r.link.Enrol(ctx, p, owner, home.NewSecret(pw)); err != nil {
		return err
	}
	ds := make([]home.Device, n)
	for i := range ds {
		mac := fmt.Sprintf("50c7bf%06x", i)
		ds[i] = home.Device{
			ID: home.DeviceID("mac-" + mac), Name: fmt.Sprintf("plug %d", i), Kind: home.Plug, Protocol: home.IOT, Model: "HS110(EU)",
			Keys: []string{"mac:" + mac},
		}
		r.devices = append(r.devices, ds[i].ID)
	}
	a, err := r.store.Account()
	if err != nil {
		return err
	}
	if err := r.store.Bind(a.ID, ds); err != nil {
		return err
	}
	if err := r.observe(a.Epoch); err != nil {
		return err
	}
	return r.confirmed(ctx, a.Epoch)
}

// login signs the owner in with the newest password.
func (r *rig) login(ctx context.Context) (token string, err error) {
	var session struct{ Token string }
	err = r.call(ctx, "", "login", map[string]string{
		"appType": "web", "cloudUserName": owner, "cloudPassword": r.password(), "terminalUUID": "bench",
	}, &session)
	return session.Token, err
}

func (r *rig) password() string { return fmt.Sprintf("Kettle-Otter-%05d", r.passwords) }

func (r *rig) nextPassword() string {
	r.passwords++
	return r.password()
}

func (r *rig) call(ctx context.Context, token, method string, params, result any) error {
	if err := r.api.Call(ctx, home.NewSecret(token), method, params, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// reset forgets the password, sets another, and waits until every device is confirmed at the new epoch. With apart the link is
// kept from the sign-ins until all devices are observed, and signIn says how long they take alone.
func (r *rig) reset(ctx context.Context, apart bool) (t timing, err error) {
	if err := r.call(ctx, "", "getResetPasswordEmail", map[string]string{"email": owner, "appType": "web"}, nil); err != nil {
		return t, err
	}
	var token string
	select {
	case token = <-r.mail:
	case <-ctx.Done():
		return t, ctx.Err()
	}
	for len(r.began) > 0 {
		<-r.began
	}
	r.store.hold.Store(apart)
	began := time.Now()
	if err := r.call(ctx, "", "resetPassword", map[string]string{"token": token, "newPassword": r.nextPassword()}, nil); err != nil {
		return t, err
	}
	var epoch home.Epoch
	select {
	case epoch = <-r.began:
	case <-ctx.Done():
		return t, ctx.Err()
	}
	t.began = time.Since(began)
	if err := r.observe(epoch); err != nil {
		return t, err
	}
	t.observed = time.Since(began)
	if apart && r.profile != nil {
		if err := pprof.StartCPUProfile(r.profile); err != nil {
			return t, err
		}
		defer pprof.StopCPUProfile()
		r.profile = nil
	}
	r.store.hold.Store(false)
	r.link.Wake()
	if err := r.confirmed(ctx, epoch); err != nil {
		return t, err
	}
	t.all = time.Since(began)
	t.signIn = t.all - t.observed
	return t, r.check(ctx, epoch)
}

// observe has the store hear that every device holds the epoch, as the engine does after a probe.
func (r *rig) observe(e home.Epoch) error {
	var all sync.WaitGroup
	errs := make([]error, observers)
	for w := range observers {
		all.Go(func() {
			for i := w; i < len(r.devices) && errs[w] == nil; i += observers {
				_, errs[w] = r.store.Observe(r.devices[i], home.Verdict{State: home.Current, Epoch: e}, 0, time.Now())
				r.link.Wake()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// confirmed waits until the service has answered all that the hub has to tell.
func (r *rig) confirmed(ctx context.Context, e home.Epoch) error {
	for {
		es, err := r.store.Store.Errands(1)
		if err != nil || len(es) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("epoch %d is not confirmed: %s waits for %s: %w", e, es[0].Kind, es[0].Device, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// check sees that both ends hold every device at the epoch.
func (r *rig) check(ctx context.Context, e home.Epoch) error {
	token, err := r.login(ctx)
	if err != nil {
		return err
	}
	var list struct{ DeviceList []struct{ Status int } }
	if err := r.call(ctx, token, "getDeviceList", struct{}{}, &list); err != nil {
		return err
	}
	online := 0
	for _, d := range list.DeviceList {
		online += d.Status
	}
	if online != len(r.devices) {
		return fmt.Errorf("%d devices are online at the account service, want %d", online, len(r.devices))
	}
	bs, err := r.store.Bindings()
	if err != nil {
		return err
	}
	for _, b := range bs {
		if !b.Current(e) {
			return fmt.Errorf("%s is not current at epoch %d", b.Device, e)
		}
	}
	if len(bs) != len(r.devices) {
		return fmt.Errorf("%d bindings, want %d", len(bs), len(r.devices))
	}
	for what, n := range r.link.Counts() {
		if n > 0 && what != "unexpected" && what != "replayed" {
			return fmt.Errorf("the link dropped %d messages as %s", n, what)
		}
	}
	return nil
}

// close ends all that runs, and removes the state.
func (r *rig) close() {
	r.stop()
	r.parts.Wait()
	for _, end := range slices.Backward(r.ends) {
		_ = end() // nothing of it is needed any more
	}
}
