package main

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/site"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
)

// openCloud opens the embedded account service and broker, where they are wanted.
func (a *app) openCloud() error {
	if a.o.AccountURL != "" {
		a.brokers = a.o.Brokers
		return nil
	}
	l, err := a.listen(a.o.Listen.Account, "--"+a.o.Listen.AccountFlag)
	if err != nil {
		return err
	}
	a.brokers = a.o.Brokers
	var own net.Listener
	if len(a.brokers) == 0 {
		if own, err = a.listen(a.o.Listen.Broker, "--broker-listen"); err != nil {
			return err
		}
		a.brokers = []string{"mqtt://" + dialable(own.Addr())}
	}
	base := a.o.BaseURL
	if base == "" {
		base = "http://" + dialable(l.Addr())
		if everywhere(l.Addr()) {
			a.o.Log.Warn("links in mails open on this machine only", "url", base, "hint", "say with --"+a.o.Listen.BaseFlag+" how people reach it")
		}
	}
	a.service, err = account.New(account.Options{
		Dir: filepath.Join(a.o.State, "account"), BaseURL: base, Brokers: a.brokers, HubBrokers: a.hubBrokers(own),
		Passphrase: a.o.Passphrase, Mail: a.o.Mail, GivenUp: a.o.GivenUp, Policy: a.o.Policy, Log: a.o.Log.With("part", "account"),
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.service.Close)
	pages, err := site.New(site.Options{Service: a.service, Log: a.o.Log.With("part", "website")})
	if err != nil {
		return err
	}
	a.doors = append(a.doors, door{l, pages.Handler(), a.service.Serve})
	if own == nil {
		return nil
	}
	a.brokerListener = own
	a.broker, err = broker.New(broker.Options{
		Directory: a.service, Service: a.service.Name(), Log: a.o.Log.With("part", "broker"),
	})
	return err
}

// hubBrokers are told to hubs; nil for those that the account service uses itself. Where the embedded broker listens on all addresses, hubs
// elsewhere find it under the name by which people find the service.
func (a *app) hubBrokers(own net.Listener) []string {
	if len(a.o.HubBrokers) > 0 || own == nil || !everywhere(own.Addr()) {
		return a.o.HubBrokers
	}
	u, err := url.Parse(a.o.BaseURL)
	_, port, bad := net.SplitHostPort(own.Addr().String())
	if err != nil || bad != nil || u.Hostname() == "" {
		return nil
	}
	return []string{"mqtt://" + net.JoinHostPort(u.Hostname(), port)}
}

// dialable is an address under which this machine reaches what it listens on: one that listens on all addresses is reached
// on loopback. Devices elsewhere are told the hub's own address instead (devices/native).
func dialable(a net.Addr) string {
	if !everywhere(a) {
		return a.String()
	}
	_, port, _ := net.SplitHostPort(a.String())
	return net.JoinHostPort("127.0.0.1", port)
}

// everywhere tells that an address stands for all of this machine.
func everywhere(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().IsUnspecified()
}
