// Package account is the account service: one account, three doors (the tpCamera app, the Kasa app, the website), a forgotten
// password reset by mail through any of them, and everything that follows from it for the hubs and devices of a house. It speaks
// the vendor's JSON API (api.go) to apps and the link protocol (cloudlink/PROTOCOL.md) to hubs, over any MQTT broker.
//
// It keeps its state in account.db (store.go draws it). What has to be undone at a reset is undone in one transaction (epochs.go).
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what New checks.
type Options struct {
	Dir        string           // for account.db and account.key; made, 0700, where it is missing
	BaseURL    string           // as people reach the service: links in mails begin with it
	Brokers    []string         // MQTT URLs for the service's own connection, tried in turn
	HubBrokers []string         // told to hubs; Brokers when empty
	Passphrase home.Secret      // seals the state instead of a key in a file, where given
	Mail       Mailer           // how mail leaves
	GivenUp    Mailer           // is handed what Mail did not take in time; nil where nobody wants it
	Policy     Policy           // DefaultPolicy() when zero
	Now        func() time.Time // time.Now when nil
	Log        *slog.Logger
}

// Service is the account service.
type Service struct {
	o    Options
	base string
	st   *store
	id   *wire.Identity
	conn *mqtt.Conn
	hash *hasher

	logins  *lock
	forgots *limit // by e-mail address
	askers  *limit // by network address
	sprays  *limit // failed logins, by network address
	waiting *lanes // logins under way, by network address

	change  sync.Mutex // serialises what changes who belongs to whom, or an account: check, transaction, memory. Not for hot paths
	dir     directory
	talks   *talks
	watch   watchers
	tickets tickets
	relays  relays
	counts  counts
	asked   chan forgotten // requests for a mail that wait
	mails   chan struct{}  // poked when a mail was queued
	epochs  chan struct{}  // poked when an account is in news
	newsMu  sync.Mutex     // guards news
	news    map[string]bool
	hashing uint64 // hashes computed when memory was last given back
}

// New checks o, all of it, and opens the state. It connects to nothing and answers nobody: Run and Handler do.
func New(o Options) (*Service, error) {
	var errs []error
	if o.Dir == "" || o.Mail == nil || o.Log == nil {
		errs = append(errs, errors.New("dir, mail and log are needed"))
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		errs = append(errs, errors.New("base URL: want one like https://account.example.org"))
	}
	if len(o.HubBrokers) == 0 {
		o.HubBrokers = o.Brokers
	}
	for _, b := range o.HubBrokers {
		_, err := mqtt.ParseBroker(b)
		errs = append(errs, err)
	}
	if o.Policy == (Policy{}) {
		o.Policy = DefaultPolicy()
	}
	errs = append(errs, o.Policy.check())
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("account service: %w", err)
	}
	p := o.Policy
	s := &Service{
		o: o, base: strings.TrimSuffix(o.BaseURL, "/"), hash: newHasher(p), logins: newLock(p),
		forgots: newLimit(p.ForgotPerHour, time.Hour, p.ForgotPause), askers: newLimit(p.ForgotFrom, 10*time.Minute, 0),
		sprays: newLimit(p.LoginFrom, p.LoginWindow, 0), waiting: newLanes(loginsEach),
		asked: make(chan forgotten, 1024), mails: make(chan struct{}, 1), epochs: make(chan struct{}, 1), news: map[string]bool{},
	}
	s.talks = newTalks(s)
	if s.st, err = openStore(o.Dir, o.Passphrase); err != nil {
		return nil, err
	}
	if s.id, err = s.st.identity(); err == nil {
		err = s.load()
	}
	if err == nil {
		s.conn, err = mqtt.New(mqtt.Options{
			Brokers: o.Brokers, ClientID: s.id.Name, Username: s.id.Name, Password: s.id.Login(), Filters: append(wire.Outboxes(), wire.States("+"), wire.Statuses()),
			Receive: s.receive, Birth: s.notices, Log: o.Log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.st.Close())
	}
	return s, nil
}

// Name returns the service's name on the link.
func (s *Service) Name() string { return s.id.Name }

// Keys returns the service's public keys.
func (s *Service) Keys() wire.Keys { return s.id.Keys }

// BaseURL returns the service's URL as people reach it, without a slash at its end.
func (s *Service) BaseURL() string { return s.base }

// PasswordLength returns how many characters a new password may have.
func (s *Service) PasswordLength() (least, most int) {
	return s.o.Policy.PasswordMin, s.o.Policy.PasswordMax
}

// PairingLife returns how long the word for a new hub works.
func (s *Service) PairingLife() time.Duration { return s.o.Policy.PairingLife }

// Close closes the state, after Run has returned.
func (s *Service) Close() error { return s.st.Close() }

// Run speaks to members over MQTT, sends mails, and repeats notices, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	s.talks.start(ctx, &parts)
	parts.Go(func() { s.forgottenLoop(ctx) })
	parts.Go(func() { s.mailLoop(ctx) })
	parts.Go(func() { s.newsLoop(ctx) })
	parts.Go(func() { s.keepHouse(ctx) })
	for pause := refusedPause; ; pause = min(2*pause, refusedLongest) {
		err := s.conn.Run(ctx)
		if ctx.Err() != nil {
			break
		}
		// People can still sign in and reset; what hubs have to hear waits. A broker that was set up wrongly is right again some day.
		s.o.Log.Error("account service speaks to no broker", "err", err, "pause", pause)
		wait(ctx, pause)
	}
	stop()
	parts.Wait()
	return nil
}

// How long a broker that refused the service's credential is left alone: doubled each time.
const (
	refusedPause   = time.Minute
	refusedLongest = time.Hour
)

// loginsEach is how many logins of one network address may wait for their hash, so that the turn of another address comes soon.
const loginsEach = 4

// Serve answers at l with h (Handler, or a website that has it) until ctx ends, with limits on time and size that a slow or flooding
// client meets. Run is still needed.
func (s *Service) Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
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

// keepHouse repeats notices, throws away what has expired, and gives back the memory of logins.
func (s *Service) keepHouse(ctx context.Context) {
	repeat := time.NewTicker(s.o.Policy.NoticeEvery)
	defer repeat.Stop()
	sweep := time.NewTicker(20 * time.Minute)
	defer sweep.Stop()
	memory := time.NewTicker(20 * time.Second)
	defer memory.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-repeat.C:
			for _, m := range s.notices() {
				if err := s.conn.Publish(m); err != nil {
					break // said again when the connection is back
				}
			}
		case <-sweep.C:
			if err := s.sweep(); err != nil {
				s.o.Log.Error("expired tokens not swept", "err", err)
			}
		case <-memory.C:
			if n := s.hash.used.Load(); n != s.hashing && len(s.hash.slots) == 0 {
				s.hashing = n
				debug.FreeOSMemory() // argon2 leaves 19 MiB behind, which a router has better use for
			}
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Counts returns how many messages of members were dropped, by reason, and how many mails were not sent.
func (s *Service) Counts() map[string]uint64 {
	c := &s.counts
	return map[string]uint64{
		"malformed": c.malformed.Load(), "forged": c.forged.Load(), "replayed": c.replayed.Load(), "unexpected": c.unexpected.Load(),
		"expired": c.expired.Load(), "overflow": c.overflow.Load(), "refused": c.refused.Load(),
		"throttled": c.throttled.Load(), "mail_failed": c.mailFailed.Load(),
	}
}

var errNotHere = fmt.Errorf("account: %w", home.ErrNotFound)
