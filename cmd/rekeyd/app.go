package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/localstore"
)

// appOptions are what `rekeyd run` and the demo decide.
type appOptions struct {
	State      string
	Interfaces []string // every multicast interface when empty
	Brokers    []string // external brokers; the embedded one when empty
	HubBrokers []string // that the account service tells hubs; Brokers when empty
	AccountURL string   // of an account service elsewhere; the embedded one when empty
	BaseURL    string   // of the embedded one in mails; its address when empty
	Listen     listenOptions
	Mail       account.Mailer
	GivenUp    account.Mailer // see account.Options
	Policy     account.Policy // of the embedded account service; its default when zero
	Pace       discover.Pace
	Parallel   int // devices asked or moved at once; 16 when zero
	Passphrase home.Secret
	Log        *slog.Logger
	Told       func(daemon.Row) // may be nil
}

// listenOptions are the addresses that the daemon opens.
type listenOptions struct {
	Page    string // the house's page and read-only API
	Account string
	Broker  string

	AccountFlag, BaseFlag string // by which Account, and the URL that people reach it under, are chosen
}

// defaultListen are the project's ports, on loopback.
var defaultListen = listenOptions{
	Page: "127.0.0.1:7353", Account: "127.0.0.1:7354", Broker: "127.0.0.1:7355",
	AccountFlag: "account-listen", BaseFlag: "account-base-url",
}

// app is the daemon with everything that it is made of.
type app struct {
	o        appOptions
	store    *localstore.Store
	identity *wire.Identity
	service  *account.Service // nil where the account service is elsewhere
	broker   *broker.Broker   // nil where the brokers are

	brokerListener net.Listener
	link           *cloudlink.Link
	vendor         *tplink.Cloud
	engine         *daemon.Rekeyer
	face           *daemon.Face
	doors          []door
	closers        []func() error
	brokers        []string // that the link dials; the account's own when empty
}

// door is an open port with what answers there.
type door struct {
	l net.Listener
	h http.Handler

	serve func(context.Context, net.Listener, http.Handler) error
}

// newApp opens the store and every port, and introduces the parts to one another. run starts them; close closes what newApp opened.
func newApp(o appOptions) (_ *app, err error) {
	a := &app{o: o}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.store, err = localstore.Open(localstore.Options{Dir: o.State, Passphrase: o.Passphrase, Log: o.Log.With("part", "store")}); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, a.store.Close)
	keys, err := a.store.HubKeys()
	if err != nil {
		return nil, err
	}
	a.identity, err = wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	if err != nil {
		return nil, err
	}
	if err := a.openCloud(); err != nil {
		return nil, err
	}
	if err := a.openHouse(); err != nil {
		return nil, err
	}
	return a, a.openFaces()
}

// openHouse makes the link, discovery, the drivers and the engine.
func (a *app) openHouse() error {
	boot, err := a.store.NextBoot()
	if err != nil {
		return err
	}
	if err := a.settle(); err != nil {
		return err
	}
	name, _ := os.Hostname() // for people; empty serves
	a.link, err = cloudlink.New(cloudlink.Options{
		Identity: a.identity, Store: linkStore{a.store}, Boot: boot, Version: version, Name: name, Brokers: a.brokers, Log: a.o.Log.With("part", "link"),
		Began:    func(e home.Epoch) { a.engine.Began(e) },
		SignedIn: func(e home.Epoch, ids []home.DeviceID) { a.engine.SignedIn(e, ids) },
		States:   a.states,
		Relay: func(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
			return a.engine.Relay(ctx, id, request)
		},
	})
	if err != nil {
		return err
	}
	if a.vendor, err = tplink.New(tplink.Options{Store: a.store, Log: a.o.Log.With("part", "vendor")}); err != nil {
		return err
	}
	interfaces := discover.Multicast
	if len(a.o.Interfaces) > 0 {
		interfaces = discover.Named(a.o.Interfaces...)
	}
	d, err := discover.New(discover.Options{Interfaces: interfaces, Pace: a.o.Pace, Log: a.o.Log.With("part", "discover")})
	if err != nil {
		return err
	}
	ds, err := drivers(a.identity, a.store)
	if err != nil {
		return err
	}
	roster := devices.NewRoster()
	known, err := a.store.Devices()
	if err != nil {
		return err
	}
	roster.Restore(known)
	a.engine, err = daemon.New(daemon.Options{
		Ledger: a.store, Roster: roster, Discovery: d, Drivers: ds, Log: a.o.Log.With("part", "rekeyer"), Wake: a.link.Wake, Told: a.told, Parallel: a.o.Parallel,
	})
	return err
}

// keepCredentials is how many of the newest credentials stay in the vault though no device needs them any more.
const keepCredentials = 8

// settle brings what the store knows of the account in line with how the daemon was started this time.
func (a *app) settle() error {
	acct, err := a.store.Account()
	if errors.Is(err, home.ErrNoAccount) {
		return nil
	}
	if err == nil && acct.Provider == home.Home && len(a.brokers) > 0 && !slices.Equal(acct.Brokers, a.brokers) {
		err = a.store.SetBrokers(acct.ID, a.brokers) // devices that join from now on are told these
	}
	if err == nil {
		_, err = a.store.ForgetCredentials(acct.ID, keepCredentials)
	}
	return err
}

// openFaces opens the page's port, and the socket on which orders are taken.
func (a *app) openFaces() error {
	var err error
	a.face, err = daemon.NewFace(daemon.FaceOptions{
		Engine: a.engine, Hub: home.HubID(a.identity.Name), Link: a.linkState, History: a.store.History, Login: a.login, Listed: a.vendor.Listed,
	})
	if err != nil {
		return err
	}
	page, err := a.listen(a.o.Listen.Page, "--listen")
	if err != nil {
		return err
	}
	// The store's lock is held: a socket that is still there was left by a daemon that was killed.
	path := socketIn(a.o.State)
	_ = os.Remove(path)
	socket, err := net.Listen("unix", path)
	if err != nil {
		return &home.Error{Op: "open the socket " + path, Err: err, Hint: "choose a state directory with a shorter path, with --state"}
	}
	a.closers = append(a.closers, socket.Close)
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	a.doors = append(a.doors, door{page, a.face.Public(), a.serve}, door{socket, a.face.Private(), a.serve})
	return nil
}

// listen opens a port; one that is taken is an error that says how to choose another.
func (a *app) listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = errors.New("another program listens there")
		}
		return nil, &home.Error{Op: "listen on " + addr, Err: err, Hint: "stop what listens there, or choose another address with " + flag}
	}
	a.closers = append(a.closers, l.Close)
	return l, nil
}

// close closes what newApp opened, the last first.
func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			a.o.Log.Warn("not closed cleanly", "err", err)
		}
	}
}

// states returns the states of all bound devices, which the link publishes after each connect.
func (a *app) states() []cloudlink.DeviceState {
	_, rows := a.engine.House()
	var states []cloudlink.DeviceState
	for _, r := range rows {
		if r.Bound {
			states = append(states, stateOfRow(r))
		}
	}
	return states
}

func stateOfRow(r daemon.Row) cloudlink.DeviceState {
	return cloudlink.DeviceState{
		ID: string(r.ID), Name: r.Name, Kind: string(r.Kind), Verdict: string(r.Verdict), Epoch: uint64(r.Epoch), Since: r.Since,
	}
}

// told publishes what has changed. What cannot be told now is told after the next connect. The topic of a device that is not bound
// (any more) is cleared.
func (a *app) told(r daemon.Row) {
	switch {
	case r.Bound:
		_ = a.link.Publish(stateOfRow(r))
	case r.Protocol != "":
		_ = a.link.Publish(cloudlink.DeviceState{ID: string(r.ID)})
	}
	if a.o.Told != nil {
		a.o.Told(r)
	}
}

// page is where the house's page is.
func (a *app) page() net.Addr { return a.doors[len(a.doors)-2].l.Addr() }

// accountURL is where the account service is.
func (a *app) accountURL() string {
	if a.o.AccountURL != "" {
		return strings.TrimSuffix(a.o.AccountURL, "/")
	}
	return "http://" + dialable(a.doors[0].l.Addr())
}
