// Package app puts the two programs of rekeyd together: Hub, the daemon of a house, and Service, the account service.
// Commands, the demo, tests and benchmarks use the same two types. The constructors of all parts are called in hub.go
// and service.go only.
package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	accountsite "github.com/rekeyd/rekeyd/cloudlink/account/site"
	"github.com/rekeyd/rekeyd/cloudlink/announce"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
	"github.com/rekeyd/rekeyd/devices"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/nc"
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

// openCloud makes the hub's ends of both providers.
func (h *Hub) openCloud() error {
	boot, err := h.store.NextBoot()
	if err != nil {
		return err
	}
	name, _ := os.Hostname() // shown to people; may be empty
	o := cloudlink.Options{
		Identity: h.identity, Store: linkStore{h.store}, Boot: boot, Version: h.o.Version, Name: name, Brokers: h.brokers,
		BrokerCA: h.o.BrokerCA,
		Log:      h.o.Log.With("part", "link"),
		Began:    func(home.Epoch) { h.engine.AccountChanged() },
		SignedIn: func(_ home.Epoch, ids []home.DeviceID) { h.engine.SignedIn(ids) },
		States:   h.states,
		Sharing:  linkStore{h.store},
		Turns:    func(held []home.Held, changed bool) { h.engine.Turns(held, changed) },
		Relay: func(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
			return h.engine.Relay(ctx, id, request)
		},
	}
	if h.o.edges.link != nil {
		h.o.edges.link(&o)
	}
	if h.link, err = cloudlink.New(o); err != nil {
		return err
	}
	h.vendor, err = tplink.New(tplink.Options{Store: h.store, Log: h.o.Log.With("part", "vendor")})
	return err
}

// openEngine makes discovery, the drivers, the engine and its API.
func (h *Hub) openEngine() error {
	roster := devices.NewRoster()
	var err error
	h.discovery, err = discover.New(discover.Options{
		House: roster.OfHouse, Recognise: nc.Recognise,
		Interfaces: h.o.Interfaces, Targets: h.o.Targets, Pace: h.o.Pace, Log: h.o.Log.With("part", "discover"),
	})
	if err != nil {
		return err
	}
	ds, err := drivers(h.identity, h.store)
	if err != nil {
		return err
	}
	o := daemon.Options{
		Ledger: h.store, Roster: roster, Discovery: h.discovery, Drivers: ds,
		Log: h.o.Log.With("part", "engine"), Wake: h.link.Wake, Turn: h.link.Turn,
		Changed: h.publish, Parallel: h.o.Parallel,
	}
	if h.o.edges.engine != nil {
		h.o.edges.engine(h, &o)
	}
	if h.engine, err = daemon.New(o); err != nil {
		return err
	}
	names := append(machineNames(), h.o.Hosts...)
	var operator http.Handler
	var accounts func(io.Writer) error
	if h.o.Service != nil {
		operator, accounts = h.o.Service.account.Operator(), h.o.Service.store.Snapshot
	}
	h.face, err = daemon.NewFace(daemon.FaceOptions{
		Operator: operator, Open: func() string { return h.PageURL() + "/signin#t=" + h.site.NewCode() },
		SetPassword: func(ctx context.Context, p home.Secret) error { return h.site.SetPassword(ctx, p) },
		Engine:      h.engine, Hub: home.HubID(h.identity.Name), Link: h.linkState, Answered: h.link.Answered,
		History: h.store.History, Login: h.Login,
		Listed: h.vendor.Listed, Ended: h.vendor.Ended, Addresses: h.addresses, Troubles: h.troubles, Failed: h.store.Failed,
		Snapshot: h.store.Snapshot, Accounts: accounts, Names: names,
		Waiting: h.Waiting, Version: h.o.Version,
		Leave: func() {
			select {
			case h.leave <- struct{}{}:
			default:
			}
		},
		Changes: func() <-chan struct{} { return h.site.Changes() },
	})
	if err != nil {
		return err
	}
	pages := site.Options{
		Base:   h.o.Base,
		Status: h.face.PublicStatus, History: h.store.History, Orders: h.engine, API: h.face.Public(),
		Names: names, Secure: h.o.TLS != nil, Log: h.o.Log.With("part", "page"), Passwords: h.store,
		Login: h.loginAgain,
	}
	if h.o.Service == nil {
		pages.Hasher = account.NewHasher(account.DefaultPolicy())
	} else {
		pages.Hasher = h.o.Service.account.Hasher()
		pages.Account = h.o.Service.account.PagesAt(h.accountPart())
	}
	h.site, err = site.New(pages)
	return err
}

// accountPart is where the account's pages are in the site of the hub.
func (h *Hub) accountPart() accountsite.Part {
	b := h.o.Base
	return accountsite.Part{
		Prefix: b.Prefix + site.AccountPath, Above: b.Prefix + "/", Origin: b.Origin, Secure: h.o.TLS != nil || b.Secure,
	}
}

// keepCredentials is how many of the newest credentials stay in the vault after no device needs them any more.
const keepCredentials = 8

// updateAccount writes the brokers of this start to the stored account, and deletes credentials that no device needs.
func (h *Hub) updateAccount() error {
	acct, err := h.store.Account()
	if errors.Is(err, home.ErrNoAccount) {
		return nil
	}
	if err == nil && acct.Provider == home.Home && len(h.brokers) > 0 && !slices.Equal(acct.Brokers, h.brokers) {
		err = h.store.SetBrokers(acct.ID, h.brokers) // devices that join from now on get these
	}
	if err == nil {
		_, err = h.store.ForgetCredentials(acct.ID, keepCredentials)
	}
	return err
}

// hubService is the DNS-SD type of hubs, by which browsers of the LAN find the page of the house.
const hubService = "_rekeyd-hub._tcp"

// FirstStep is the hint for an owner whose hub is not signed in.
const FirstStep = "on this machine, run: rekeyd setup"

// Engine returns the engine of the hub.
func (h *Hub) Engine() *daemon.Rekeyer { return h.engine }

// PageURL returns the URL of the house's page.
func (h *Hub) PageURL() string {
	if h.o.Base.URL != "" {
		return h.o.Base.URL
	}
	page, _, _ := strings.Cut(h.o.TLS.url("http", "https", h.page.dialable()), "#")
	return page
}

// AccountURL returns the URL of the account service that the hub was started with.
func (h *Hub) AccountURL() string {
	if h.o.Service != nil {
		return h.o.Service.URL()
	}
	return strings.TrimSuffix(h.o.AccountURL, "/")
}

// addresses describes the account service that the hub uses, and the certificate of the hub's own ports. The service is
// the one of the hub's account; before there is an account, and with one of the vendor's cloud, the one that the hub
// was started with.
func (h *Hub) addresses() daemon.Addresses {
	public, _, _ := strings.Cut(h.AccountURL(), "#")
	p := daemon.Addresses{AccountURL: h.AccountURL(), PublicURL: public}
	if h.o.TLS != nil {
		p.Fingerprint = h.o.TLS.Fingerprint
	}
	s, own := h.o.Service, h.o.Service != nil
	a, err := h.store.Account()
	if err == nil && a.Provider == home.Home && (!own || !bytes.Equal(a.ServiceKey, s.account.Identity().Keys.Sign)) {
		public, _, _ := strings.Cut(a.URL, "#")
		p.AccountURL, p.PublicURL, own = a.URL, public, false
	}
	if own {
		p.PublicURL = s.BaseURL()
		p.Embedded, p.PasswordMin = true, s.account.Policy().PasswordMin
		_, p.MailFiles = s.o.Mail.(mail.Folder)
	}
	return p
}

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

// states returns the states of all bound devices, which the link publishes after each connect.
func (h *Hub) states() []cloudlink.DeviceState {
	_, rows, err := h.engine.House()
	if err != nil {
		h.o.Log.Error("states not read", "err", err)
	}
	var states []cloudlink.DeviceState
	for _, r := range rows {
		if r.Bound {
			states = append(states, stateOfRow(r))
		}
	}
	return states
}

// stateOfRow returns the published state of a device: no e-mail address, no address, no secret.
func stateOfRow(r daemon.Row) cloudlink.DeviceState {
	return cloudlink.DeviceState{
		ID: string(
			r.ID,
		), Name: r.Name, Kind: string(r.Kind), Verdict: string(r.Verdict), Epoch: uint64(r.Epoch), Since: r.Since,
	}
}

// publish publishes a row that has changed. What cannot be published now is published after the next connect. The topic
// of a device that is not bound (any more) is cleared. One that has no known password any more may have it from the
// vendor's app.
func (h *Hub) publish(r daemon.Row) {
	if r.Bound && r.Verdict == home.Mismatch {
		h.vendor.Check()
	}
	switch {
	case r.Bound:
		_ = h.link.Publish(stateOfRow(r))
	case r.Protocol != "":
		_ = h.link.Publish(cloudlink.DeviceState{ID: string(r.ID)})
	}
	h.site.Changed()
	if h.publisher != nil {
		h.publisher.Changed()
	}
	if h.o.Changed != nil {
		h.o.Changed(r)
	}
}
