package app

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cloudlink/pin"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// ServiceOptions are what NewService checks.
type ServiceOptions struct {
	State      string // directory; the service keeps its own files in the folder "account" there
	Listen     string // address of the website and API
	Broker     string // address of the embedded broker
	ListenFlag string // by which Listen is chosen: "--listen"
	BaseFlag   string // by which BaseURL is chosen
	BaseURL    string // the service's URL in mails; its own address when empty
	PagesURL   string // links in mails begin with it; BaseURL when empty
	Brokers    []string
	HubBrokers []string       // URLs that hubs get; Brokers when empty
	BrokerCA   *x509.CertPool // authorities of brokers' certificates; nil for the system's
	Mail       mail.Mailer
	GivenUp    mail.Mailer    // gets what Mail did not accept in time; nil for none
	Hosts      []string       // further names under which the website answers
	Policy     account.Policy // the default when zero
	Passphrase home.Secret
	House      *MQTT        // the house that the embedded broker serves to users; nil for none
	TLS        *Certificate // of the website and the embedded broker; nil for plain HTTP and MQTT
	Log        *slog.Logger

	edges edges // of tests in this package
}

// Service is the account service with its website, and with an embedded broker unless Brokers names others.
type Service struct {
	o       ServiceOptions
	account *server.Server
	store   *boltstore.Store
	damage  []home.Trouble // of store, at its start
	broker  *broker.Broker // nil where Brokers names others
	house   *broker.House  // nil where the embedded broker serves no house
	pages   http.Handler
	brokers []string
	limit   *connLimit // of all ports of the process

	listener, brokerListener *Listener // brokerListener is nil where broker is
}

// AccountFolder is the folder of the account service's state, in that of the hub.
const AccountFolder = "account"

// NewService checks o and opens the state. Run opens the ports. Close closes the state, after Run has returned.
func NewService(o ServiceOptions) (_ *Service, err error) {
	s := &Service{o: o, brokers: o.Brokers, limit: newConnLimit(o.Policy.ConnectionsFrom, totalConns())}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.listener, err = newPort("account service", o.Listen, o.ListenFlag, s.limit); err != nil {
		return nil, err
	}
	if o.TLS != nil {
		s.listener.secure = func(l net.Listener) net.Listener { return withTLS(l, o.TLS, false, o.Log) }
	}
	if len(o.Brokers) == 0 {
		if s.brokerListener, err = newPort("broker", o.Broker, "--broker-listen", s.limit); err != nil {
			return nil, err
		}
		if o.TLS != nil {
			s.brokerListener.secure = func(l net.Listener) net.Listener { return withTLS(l, o.TLS, true, o.Log) }
		}
		s.brokers = []string{o.TLS.url("mqtt", "mqtts", s.brokerListener.dialable())}
	}
	if o.BaseURL == "" && o.PagesURL == "" && s.listener.everywhere() {
		o.Log.Warn("links in mails open on this machine only", "url", s.URL(),
			"hint", "give the URL for other machines with "+o.BaseFlag)
	}
	return s, s.open()
}

// open makes the account service, its website and the broker.
func (s *Service) open() (err error) {
	base := s.o.BaseURL
	if base == "" {
		base, _, _ = strings.Cut(s.URL(), "#")
	}
	store, err := boltstore.Open(filepath.Join(s.o.State, AccountFolder), s.o.Passphrase)
	if err != nil {
		return err
	}
	s.store, s.damage = store, damageOf(store, s.o.Log.With("part", "account"))
	o := server.Options{
		Store: store, BaseURL: base, PagesURL: s.o.PagesURL, Names: append(machineNames(), s.o.Hosts...), HubURL: s.hubURL(base),
		Brokers: s.brokers, HubBrokers: s.hubBrokers(), BrokerCA: s.o.BrokerCA,
		Mail: s.o.Mail, Undelivered: s.o.GivenUp, Policy: s.o.Policy,
		Log: s.o.Log.With("part", "account"),
	}
	if s.o.edges.account != nil {
		s.o.edges.account(&o)
	}
	if s.account, err = server.New(o); err != nil {
		return err
	}
	s.pages = s.account.Handler()
	if s.brokerListener == nil {
		return nil
	}
	if s.o.House != nil {
		s.house = s.o.House.house(s.o.State, s.account.Hasher())
	}
	s.broker, err = broker.New(broker.Options{
		Directory: s.account, Service: s.account.Name(), House: s.house, Log: s.o.Log.With("part", "broker"),
	})
	return err
}

// hubBrokers returns the URLs that hubs get; nil for those that the account service uses itself. An embedded broker
// that listens on all addresses is reached at the host of BaseURL, and so is one with a trusted certificate: hubs
// verify its name.
func (s *Service) hubBrokers() []string {
	trusted := s.o.TLS != nil && s.o.TLS.Trusted
	if len(s.o.HubBrokers) > 0 || s.brokerListener == nil || !s.brokerListener.everywhere() && !trusted {
		return s.o.HubBrokers
	}
	u, err := url.Parse(s.o.BaseURL)
	_, port, portErr := net.SplitHostPort(s.brokerListener.addr)
	if errors.Join(err, portErr) != nil || u.Hostname() == "" {
		return nil
	}
	host := net.JoinHostPort(u.Hostname(), port)
	if trusted {
		return []string{"mqtts://" + host}
	}
	return []string{s.o.TLS.url("mqtt", "mqtts", host)}
}

// hubURL returns the URL by which hubs reach the service: its base URL, with the fingerprint of a certificate that no
// authority signed. Another port than the service's own is a proxy's, with a certificate of the proxy.
func (s *Service) hubURL(base string) string {
	u, err := url.Parse(base)
	_, port, portErr := net.SplitHostPort(s.listener.addr)
	if s.o.TLS == nil || s.o.TLS.Trusted || errors.Join(err, portErr) != nil || u.Port() != port {
		return base
	}
	return pin.Add(base, s.o.TLS.Fingerprint)
}

// URL returns where this machine reaches the service, with the fingerprint of its certificate.
func (s *Service) URL() string { return s.o.TLS.url("http", "https", s.listener.dialable()) }

// BaseURL returns the service's URL as people reach it.
func (s *Service) BaseURL() string { return s.account.BaseURL() }

// Brokers returns the URLs of the brokers that the service uses.
func (s *Service) Brokers() []string { return s.brokers }

// House returns the part of the embedded broker that serves the house; nil where there is none.
func (s *Service) House() *broker.House { return s.house }

// WaitListening waits until Run has tried to open every port, or ctx ends.
func (s *Service) WaitListening(ctx context.Context) { waitTried(ctx, s.listener, s.brokerListener) }

// Run serves until ctx ends. A part that fails is restarted alone.
func (s *Service) Run(ctx context.Context) error { return runParts(ctx, s.o.Log, s.parts()) }

func (s *Service) parts() []part {
	parts := []part{
		{name: "account", run: func(ctx context.Context) error {
			waitTried(ctx, s.brokerListener) // else the first dial fails, and a pause follows
			return s.account.Run(ctx)
		}},
		listening(s.listener, func(ctx context.Context, l net.Listener) error { return s.account.Serve(ctx, l, s.pages) }),
	}
	if s.broker != nil {
		parts = append(parts, listening(s.brokerListener, s.broker.Serve))
	}
	return parts
}

// Close closes what NewService opened.
func (s *Service) Close() {
	s.listener.close()
	s.brokerListener.close()
	if s.account != nil {
		if err := s.account.Close(); err != nil {
			s.o.Log.Warn("account state not closed cleanly", "err", err)
		}
	}
}

// waitTried waits until every listener was opened, or failed to open, once.
func waitTried(ctx context.Context, ls ...*Listener) {
	for _, l := range ls {
		if l == nil {
			continue
		}
		select {
		case <-l.tried:
		case <-ctx.Done():
		}
	}
}
