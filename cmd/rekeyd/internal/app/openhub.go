package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	accountsite "github.com/rekeyd/rekeyd/cloudlink/account/site"
	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/nc"
)

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
