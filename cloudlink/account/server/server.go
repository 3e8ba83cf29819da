// Package server puts the account service together: use cases, MQTT end, mail queue, website and API, on a store that
// the caller opens.
package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/api"
	"github.com/rekeyd/rekeyd/cloudlink/account/link"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/site"
)

// Options are what New checks.
type Options struct {
	Store       account.Store  // New closes it when it fails, Close does else
	BaseURL     string         // as people reach the service
	PagesURL    string         // links in mails begin with it; BaseURL when empty
	Names       []string       // of this machine, under which the website answers too
	HubURL      string         // as hubs reach it, with the fingerprint of its certificate; BaseURL when empty
	Brokers     []string       // MQTT URLs for the service's own connection, tried in turn
	BrokerCA    *x509.CertPool // authorities of brokers' certificates; nil for the system's
	HubBrokers  []string       // that new hubs are given; Brokers when empty
	Mail        mail.Mailer
	Undelivered mail.Mailer    // gets what Mail did not accept in time; nil for none
	Policy      account.Policy // account.DefaultPolicy() when zero
	Now         func() time.Time
	Log         *slog.Logger

	Dial func(addr string) (net.Conn, error) // to a broker; TCP or TLS when nil
}

// Server is the whole account service.
type Server struct {
	*account.Service
	o     Options
	link  *link.Link
	queue *mail.Queue
	pages http.Handler
	api   http.Handler

	operator http.Handler
	site     *site.Site
}

// New checks o, all of it. It neither connects nor listens: Run and Handler do.
func New(o Options) (*Server, error) {
	s, err := build(o)
	if err != nil && o.Store != nil {
		err = errors.Join(err, o.Store.Close())
	}
	return s, err
}

func build(o Options) (*Server, error) {
	if o.Mail == nil {
		return nil, errors.New("account service: mail is needed")
	}
	if len(o.HubBrokers) == 0 {
		o.HubBrokers = o.Brokers
	}
	svc, err := account.New(account.Options{
		Store: o.Store, BaseURL: o.BaseURL, PagesURL: o.PagesURL, HubURL: o.HubURL, HubBrokers: o.HubBrokers, Policy: o.Policy, Now: o.Now,
		Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	l, err := link.New(link.Options{
		Store: o.Store, Service: svc, Brokers: o.Brokers, Roots: o.BrokerCA, Log: o.Log, Dial: o.Dial,
	})
	if err != nil {
		return nil, err
	}
	answers := api.New(api.Options{Service: svc, Relay: l, Log: o.Log})
	calls := answers.Handler()
	pages, err := site.New(site.Options{Service: svc, API: calls, Names: o.Names, Log: o.Log})
	if err != nil {
		return nil, err
	}
	q := &mail.Queue{
		Store: o.Store, Mailer: o.Mail, Undelivered: o.Undelivered, Wake: svc.MailQueued(), Log: o.Log, Now: svc.Now,
	}
	return &Server{svc, o, l, q, pages.Handler(), calls, answers.OperatorHandler(), pages}, nil
}

// Name returns the service's name on the link.
func (s *Server) Name() string { return s.Identity().Name }

// Close closes the store, after Run has returned.
func (s *Server) Close() error { return s.o.Store.Close() }

// Run speaks to members, sends mails and does the service's other work until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.Service.Run(ctx) })
	parts.Go(func() { s.queue.Run(ctx) })
	parts.Go(func() { s.link.Run(ctx) })
	parts.Wait()
	return nil
}

// Handler answers the website, and the API at POST /.
func (s *Server) Handler() http.Handler { return s.pages }

// PagesAt answers the website as a part of another site.
func (s *Server) PagesAt(p site.Part) http.Handler { return s.site.At(p) }

// API answers the API alone, at POST /.
func (s *Server) API() http.Handler { return s.api }

// Operator answers the calls of an account.Operator, with the codes of mails. It belongs on no port.
func (s *Server) Operator() http.Handler { return s.operator }

// Serve answers at l with h until ctx ends, within limits on time and size that a slow or flooding client meets. Run
// is still needed.
func (s *Server) Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(soon) != nil {
			_ = srv.Close()
		}
	}()
	err := srv.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("account service: %w", err)
	}
	<-done
	return nil
}
