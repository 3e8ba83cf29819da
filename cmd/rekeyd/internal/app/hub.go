// Package app puts the two programs of rekeyd together: Hub, the daemon of a house, and Service, the account service.
// Commands, the demo, tests and benchmarks use the same two types. The constructors of all parts are called in hub.go
// and service.go only.
package app

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/announce"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/localstore"
)

// HubOptions are what NewHub checks.
type HubOptions struct {
	State      string
	Version    string
	Interfaces []string          // every multicast interface when empty
	Targets    []discover.Target // where devices are that no broadcast reaches
	Service    *Service          // the account service in the same process; nil where AccountURL names another
	AccountURL string            // of an account service elsewhere
	Brokers    []string          // that the link dials where Service is nil; those of the account when empty
	BrokerCA   *x509.CertPool    // authorities of brokers' certificates; nil for the system's
	Listen     string            // address of the house's page and read-only API
	Socket     string            // path of the control socket; in State when empty
	Pace       discover.Pace
	Hosts      []string  // further names under which the page answers
	Base       site.Base // where people open the page, through a proxy
	Parallel   int       // devices asked or moved at once; 16 when zero
	Passphrase home.Secret
	TLS        *Certificate // of the page; nil for plain HTTP
	Log        *slog.Logger
	MQTT       *MQTT            // where the house is published; nil for nowhere but the account link
	Changed    func(daemon.Row) // is called after a row of a device has changed; may be nil

	edges edges // of tests in this package
}

// Hub is the daemon of a house.
type Hub struct {
	o         HubOptions
	store     *localstore.Store
	discovery *discover.Discovery
	identity  *wire.Identity
	link      *cloudlink.Link
	vendor    *tplink.Cloud
	engine    *daemon.Rekeyer
	face      *daemon.Face
	site      *site.Site
	brokers   []string                 // that the link dials; the account's own when empty
	publisher *homeassistant.Publisher // with houseConn; nil where the house is not published
	houseConn *mqtt.Conn

	peers *peers

	engineEnded chan struct{} // closed after the last move
	endEngine   func()

	page, control *Listener

	leave chan struct{} // receives when the owner ends the hub's membership
}

// ErrLeft is the result of Run once the hub has left its account. It has new keys then, and has to be made anew.
var ErrLeft = errors.New("the hub has left its account")

// NewHub checks o and opens the store. Run opens the ports. Close closes the store, after Run has returned.
func NewHub(o HubOptions) (_ *Hub, err error) {
	h := &Hub{o: o, brokers: o.Brokers, engineEnded: make(chan struct{}), leave: make(chan struct{}, 1)}
	h.endEngine = sync.OnceFunc(func() { close(h.engineEnded) })
	limit := newConnLimit(0, totalConns())
	if o.Service != nil {
		h.brokers, limit = o.Service.Brokers(), o.Service.limit
	}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	h.store, err = localstore.Open(
		localstore.Options{Dir: o.State, Passphrase: o.Passphrase, Log: o.Log.With("part", "store")},
	)
	if err != nil {
		return nil, err
	}
	if h.page, err = newPort("page", o.Listen, "--listen", limit); err != nil {
		return nil, err
	}
	if o.TLS != nil {
		h.page.secure = func(l net.Listener) net.Listener { return withTLS(l, o.TLS, false, o.Log) }
	}
	if h.control, err = newSocket("control socket", o.State, o.Socket); err != nil {
		return nil, err
	}
	keys, err := h.store.HubKeys()
	if err != nil {
		return nil, err
	}
	h.identity, err = wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	if err != nil {
		return nil, err
	}
	h.peers = newPeers(h)
	if err := h.updateAccount(); err != nil {
		return nil, err
	}
	if err := h.openCloud(); err != nil {
		return nil, err
	}
	if err := h.openEngine(); err != nil {
		return nil, err
	}
	return h, h.openHouse()
}

// hubService is the DNS-SD type of hubs, by which browsers of the LAN find the page of the house.
const hubService = "_rekeyd-hub._tcp"

// FirstStep is the hint for an owner whose hub is not signed in.
const FirstStep = "on this machine, run: rekeyd setup"

// Engine returns the engine of the hub.
func (h *Hub) Engine() *daemon.Rekeyer { return h.engine }

// Run runs the daemon until ctx ends. A part that fails is restarted alone; when the engine fails, Run returns its
// error. Commands are answered after every port was opened, those of o.Service too, so a program that runs a hub runs
// its Service at the same time.
//
// Where its owner has the hub leave its account, Run ends all parts first, so that none works with the old keys, and
// returns ErrLeft.
func (h *Hub) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	left := make(chan bool, 1)
	go func() {
		defer stop()
		select {
		case <-h.leave:
			left <- true
		case <-inner.Done():
			left <- false
		}
	}()
	err := runParts(inner, h.o.Log, h.parts())
	stop()
	if !<-left || err != nil || ctx.Err() != nil {
		return err
	}
	a, err := h.store.Account()
	if err == nil {
		err = h.store.Leave(a.ID)
	}
	if err != nil { // the command sees that the account is still there
		h.o.Log.Error("account not left", "err", err)
	} else {
		h.o.Log.Info("account left", "account", a.ID)
		h.removeHere(a)
	}
	return ErrLeft
}

// parts returns the parts of the daemon. The control socket waits for every port, so that a command that is answered
// finds the others open.
func (h *Hub) parts() []part {
	control := listening(h.control, serveHTTP(h.face.Private(), h.o.Log))
	serve := control.run
	control.run = func(ctx context.Context) error {
		waitTried(ctx, h.page)
		if h.o.Service != nil {
			h.o.Service.WaitListening(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		h.o.Log.Info("rekeyd runs", "version", h.o.Version, "hub", h.identity.Name, "state", h.o.State,
			"page", h.PageURL(), "account", h.AccountURL())
		if h.o.TLS != nil {
			h.o.Log.Info("every port has TLS", "certificate", h.o.TLS.Fingerprint)
		}
		if _, err := h.store.Account(); errors.Is(err, home.ErrNoAccount) {
			h.o.Log.Info("this hub is not signed in", "next", FirstStep)
		} else if err == nil {
			h.o.Log.Info("this hub is signed in", "next", "see how far each device is with: rekeyd status")
		}
		return serve(ctx)
	}
	all := []part{
		h.enginePart(),
		{name: "link", run: func(ctx context.Context) error {
			if h.o.Service != nil {
				h.o.Service.WaitListening(ctx) // else the first dial fails, and a pause follows
			}
			return h.runLink(ctx)
		}},
		{name: "vendor", run: h.vendor.Run},
		{name: "other hubs", run: h.peers.run},
		listening(h.page, serveHTTP(h.site.Handler(), h.o.Log)),
		control,
	}
	if h.publisher != nil {
		all = append(all, part{name: "mqtt", run: h.runHouse})
	}
	if port, ok := h.page.onLAN(); ok {
		a := announce.Service{
			Instance: h.identity.Name, Type: hubService, Port: port, Interfaces: discover.Interfaces(h.o.Interfaces).Up,
			TXT: []string{"id=" + h.identity.Name, "version=" + h.o.Version, "path=/"},
			Log: h.o.Log.With("part", "announcement"),
		}
		all = append(all, part{name: "announcement", run: a.Run})
	}
	return all
}

// Close closes what NewHub opened.
func (h *Hub) Close() {
	h.page.close()
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.o.Log.Warn("store not closed cleanly", "err", err)
		}
	}
}
