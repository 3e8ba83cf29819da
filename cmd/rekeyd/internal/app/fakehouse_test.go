package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
)

// fakeHouse is a whole installation inside a synctest bubble: account service, broker, link, engine, drivers and
// simulated devices over a network in memory, and both stores on real files. The website and its API are called without
// a network.
type fakeHouse struct {
	client
	rnd     *rand.Rand
	dir     string
	net     *network
	log     syncBuffer // of all parts, of all runs
	moves   moves
	units   []*unit
	full    atomic.Bool  // the hub's disk
	cutIn   atomic.Int64 // writes and connections of the hub until a power cut
	dead    atomic.Bool  // the hub, after a power cut: nothing that it does has an effect
	ahead   atomic.Int64 // nanoseconds by which the service's clock is ahead
	service *Service
	hub     *Hub

	stopService, stopBroker, stopHub func()

	passwords []string       // of the account, and of its intruders, oldest first
	known     string         // the account's password now
	tried     map[string]int // faults, by name
	running   time.Duration  // that the house has run
	least     home.Epoch     // that the hub has seen since it was last restored
	locks     int            // lock-outs of devices that were replaced since
	lived     time.Duration  // set at the end
}

type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newFakeHouse sets up a house in which every device but the strangers is bound and current. dir is an empty folder
// outside of the bubble.
func newFakeHouse(t testing.TB, dir string, seed uint64) *fakeHouse {
	h := newEmptyHouse(t, dir, seed)
	h.startHub()
	h.must(h.call("", "register", map[string]any{"email": ownerEmail, "password": h.known}, nil))
	h.must(h.login())
	time.Sleep(2 * time.Minute)
	h.bind()
	return h
}

// newEmptyHouse sets up a service, and a house of devices without a hub.
func newEmptyHouse(t testing.TB, dir string, seed uint64) *fakeHouse {
	h := &fakeHouse{
		client: client{t: t, mails: make(chan mail.Mail, 10_000)},
		rnd:    rand.New(rand.NewPCG(seed, 0)), dir: dir, net: newNetwork(seed),
		moves: moves{running: map[home.DeviceID]int{}}, tried: map[string]int{},
	}
	h.newPassword()
	h.startService()
	h.furnish()
	return h
}

// logger logs for the check of secrets, and with HOUSE_LOG set to the error output, where it shows a house that never
// rests.
func (h *fakeHouse) logger() *slog.Logger {
	var to io.Writer = &h.log
	level := slog.LevelInfo
	if os.Getenv("HOUSE_LOG") != "" {
		to, level = io.MultiWriter(to, os.Stderr), slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
}

// newPassword draws the account's next password.
func (h *fakeHouse) newPassword() {
	h.known = fmt.Sprintf("Kettle-Otter-%d-%08x", len(h.passwords), h.rnd.Uint32())
	h.passwords = append(h.passwords, h.known)
}

const fakeBroker = "127.0.0.1:7355"

func (h *fakeHouse) state(of string) string { return filepath.Join(h.dir, of) }

func (h *fakeHouse) startService() {
	h.t.Helper()
	p := account.DefaultPolicy()
	p.Activation, p.HashMemory, p.HashTime = false, 64, 1
	p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 0, 1000, 100_000
	var err error
	h.service, err = NewService(ServiceOptions{
		State: h.state("service"), Listen: "127.0.0.1:7354", Broker: fakeBroker, Mail: h, Policy: p, Log: h.logger(),
		edges: edges{account: func(o *server.Options) {
			o.Dial = h.net.dialBroker
			o.Now = func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
		}},
	})
	h.must(err)
	h.api, err = v1.Over(h.service.URL(), without{h.service.account.API()})
	h.must(err)
	h.stopService = h.run(h.service.account.Run, h.service.Close)
	h.startBroker()
}

// run runs a part until the returned function is called, which then calls last.
func (h *fakeHouse) run(part func(context.Context) error, last func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("a part failed: %v", err)
		}
		last()
	})
}

// startBroker starts the broker, without anything that it knew before.
func (h *fakeHouse) startBroker() {
	l, err := h.net.listen(fakeBroker)
	h.must(err)
	h.stopBroker = h.run(func(ctx context.Context) error { return h.service.broker.Serve(ctx, l) }, func() {})
}

func (h *fakeHouse) startHub() {
	h.t.Helper()
	h.hub, h.stopHub = h.openHub("hub", edges{engine: h.engine, link: func(o *cloudlink.Options) {
		o.Dial = func(addr string) (net.Conn, error) { return h.fromHub(h.net.dialBroker(addr)) }
		o.Store = gatedStore{o.Store, h.write}
	}})
}

// openHub starts a hub with its own state, at this network.
func (h *fakeHouse) openHub(state string, e edges) (*Hub, func()) {
	h.t.Helper()
	hub, err := NewHub(HubOptions{
		State: h.state(state), Version: "test", Service: h.service, Listen: "127.0.0.1:7353", Log: h.logger(), edges: e,
	})
	h.must(err)
	return hub, h.run(func(ctx context.Context) error {
		return runParts(ctx, hub.o.Log, []part{hub.enginePart(), {name: "link", run: hub.runLink}})
	}, hub.Close)
}

// engine puts the network in memory under an engine, and its disk and drivers under watch.
func (h *fakeHouse) engine(hub *Hub, o *daemon.Options) {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_ = h.write("dial done")
		return h.fromHub(h.net.dial(ctx, network, addr))
	}
	ds, err := catalog.New(catalog.Options{Hub: hub.identity, Budget: hub.store, Memory: hub.store, Dial: dial})
	h.must(err)
	for p, d := range ds {
		o.Drivers[p] = watch(d, &h.moves)
	}
	o.Discovery, o.Ledger = h, gatedLedger{o.Ledger, h.write}
}

// write is the gate of the hub's writes. It fails them while the disk is full, and keeps a copy of the store at the
// moment of a power cut.
func (h *fakeHouse) write(what string) error {
	if h.cutIn.Add(-1) == 0 {
		h.dead.Store(true) // first: the copy must have everything that was sent on
		h.snapshot()
	}
	if h.dead.Load() {
		return errDead
	}
	if h.full.Load() && !strings.HasSuffix(what, " done") {
		return &os.PathError{Op: "write", Path: "rekeyd.db", Err: syscall.ENOSPC}
	}
	return nil
}

var errDead = errors.New("the power is cut")

// fromHub is a connection of the hub, over which nothing is sent once its power is cut.
func (h *fakeHouse) fromHub(c net.Conn, err error) (net.Conn, error) {
	if err == nil {
		c = mortalConn{c, &h.dead}
	}
	return c, err
}

type mortalConn struct {
	net.Conn
	dead *atomic.Bool
}

func (c mortalConn) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return 0, errDead
	}
	return c.Conn.Write(b)
}

// Run is daemon.Discovery: each device that is on is sighted every minute.
func (h *fakeHouse) Run(ctx context.Context, see func([]home.Sighting)) error {
	for {
		var seen []home.Sighting
		for _, u := range h.units {
			if s, ok := u.sighting(); ok {
				seen = append(seen, s)
			}
		}
		see(seen)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Minute):
		}
	}
}

// login signs the hub in.
func (h *fakeHouse) login() error { return h.enrol(h.hub, h.known) }

// bind binds the house, as its owner does: each device by its name.
func (h *fakeHouse) bind() {
	h.t.Helper()
	_, rows, err := h.hub.engine.House()
	h.must(err)
	var ids []home.DeviceID
	for _, r := range rows {
		if u := h.unitOf(r.ID); u != nil && !u.stranger && !r.Bound {
			ids = append(ids, r.ID)
		}
	}
	h.must(h.hub.engine.Bind(ids))
	h.answer()
}

// answer answers the questions that the hub asks its owner: about each bound device, always with yes.
func (h *fakeHouse) answer() {
	_, rows, err := h.hub.engine.House()
	h.must(err)
	var clear, fresh, again []home.DeviceID
	held := false
	for _, r := range rows {
		switch {
		case !r.Bound:
		case r.Consent:
			clear = append(clear, r.ID)
		case r.Verdict == home.Refusing:
			again = append(again, r.ID)
		case r.Verdict == home.WasReset || r.Verdict == home.Blank || r.Verdict == home.Default:
			fresh = append(fresh, r.ID)
		}
		held = held || r.Held
	}
	err = h.hub.engine.AllowCleartext(clear)
	if err == nil {
		err = h.hub.engine.Bind(fresh)
	}
	if err == nil && len(again) > 0 {
		err = h.hub.engine.Rekey(again, false)
	}
	if err == nil && held {
		err = h.hub.engine.RekeyAll()
	}
	if err != nil {
		h.logger().Warn("owner's answer not taken", "err", err)
	}
}

// unitOf returns the simulated device with an ID.
func (h *fakeHouse) unitOf(id home.DeviceID) *unit {
	for _, u := range h.units {
		if u.dev.ID() == id {
			return u
		}
	}
	return nil
}

// close ends everything, which must end.
func (h *fakeHouse) close() {
	h.stopHub()
	h.stopBroker()
	h.stopService()
	for _, u := range h.units {
		u.stop()
	}
}
