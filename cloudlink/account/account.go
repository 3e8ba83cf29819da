// Package account is the account service: one account, three doors (the tpCamera app, the Kasa app, the website), a
// forgotten password that is reset by mail through any of them, and the consequences for hubs and devices.
//
// This package has the terms (terms.go), the use cases of an owner, and the Store interface (store.go). Around it
// stand the stores (boltstore), the MQTT end (link), the vendor's JSON API (api), the website (site) and the mail
// (mail); package server puts them together.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are the options of New.
type Options struct {
	Store      Store
	BaseURL    string           // as people reach the service
	PagesURL   string           // links in mails begin with it; BaseURL when empty
	HubURL     string           // as hubs reach it, with the fingerprint of its certificate; BaseURL when empty
	HubBrokers []string         // MQTT URLs that new hubs are given
	Policy     Policy           // DefaultPolicy() when zero
	Now        func() time.Time // time.Now when nil
	Log        *slog.Logger
}

// Service is the account service as its owners use it.
type Service struct {
	o       Options
	base    string
	st      Store
	id      *wire.Identity
	hash    *Hasher
	letters mail.Letters

	logins    lockout      // by e-mail address
	terminals lockout      // by terminal that signed in before
	forgots   *Limiter     // mails, by e-mail address
	pauses    *Limiter     // between two of them
	askers    *Limiter     // requests for a mail, by network address
	sprays    *Limiter     // failed logins, by network address
	waiting   *perKeyLimit // logins that are checked, by network address

	Reports Reports // what hubs report of themselves and their devices
	Changes Changes // accounts whose devices, hubs or sessions have changed
	Epochs  News    // accounts whose newest epoch is to be announced
	mails   chan struct{}
	asked   chan forgotten // requests for a mail that wait

	repeats repeats // answers to one-time requests
	drops   *Drops
	hashing uint64 // hashes computed when memory was last given back
}

// New checks o, all of it. Run does the work in the background.
func New(o Options) (*Service, error) {
	var errs []error
	if o.Store == nil || o.Log == nil {
		errs = append(errs, errors.New("store and log are needed"))
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" ||
		u.User != nil {
		errs = append(errs, errors.New("base URL: want one like https://account.example.org"))
	}
	for _, b := range o.HubBrokers {
		_, err := mqtt.ParseBroker(b)
		errs = append(errs, err)
	}
	if o.Policy == (Policy{}) {
		o.Policy = DefaultPolicy()
	}
	errs = append(errs, o.Policy.Validate())
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("account service: %w", err)
	}
	p := o.Policy
	s := &Service{
		o: o, base: strings.TrimSuffix(o.BaseURL, "/"), st: o.Store, hash: NewHasher(p), logins: newLockout(p.LoginFailures),
		terminals: newLockout(terminalGuesses),
		forgots:   NewLimiter(p.ForgotPerHour, time.Hour), pauses: NewLimiter(1, p.ForgotPause),
		askers: NewLimiter(p.ForgotFrom, 10*time.Minute), sprays: NewLimiter(p.LoginFrom, failureWindow),
		waiting: newPerKeyLimit(loginsEach), drops: NewDrops(o.Log), asked: make(chan forgotten, 1024),
		mails: make(chan struct{}, 1), Epochs: newNews(),
	}
	s.repeats.now = s.Now
	s.letters = mail.Letters{BaseURL: strings.TrimSuffix(cmp.Or(o.PagesURL, o.BaseURL), "/")}
	if s.id, err = s.st.Identity(); err != nil {
		return nil, err
	}
	return s, nil
}

// loginsEach is how many logins of one network address wait for their hash, so that the turn of another address comes
// soon.
const loginsEach = 4

// Identity returns the service's keys.
func (s *Service) Identity() *wire.Identity { return s.id }

// Hasher returns the queue of all password hashes of the service.
func (s *Service) Hasher() *Hasher { return s.hash }

// Policy returns the limits that hold.
func (s *Service) Policy() Policy { return s.o.Policy }

// BaseURL returns the service's URL as people reach it, without a slash at its end.
func (s *Service) BaseURL() string { return s.base }

// Now returns the time, as it goes to disk.
func (s *Service) Now() time.Time { return s.o.Now().UTC().Round(0) }

// MailQueued is poked when a mail was queued.
func (s *Service) MailQueued() <-chan struct{} { return s.mails }

// Run queues requested mails, deletes expired records, and returns the memory of logins to the system, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { s.forgottenLoop(ctx) })
	defer parts.Wait()
	sweep := time.NewTicker(20 * time.Minute)
	defer sweep.Stop()
	memory := time.NewTicker(20 * time.Second)
	defer memory.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			if err := s.st.Sweep(s.Now()); err != nil {
				s.o.Log.Error("expired records not deleted", "err", err)
			}
		case <-memory.C:
			if n := s.hash.used.Load(); n != s.hashing && len(s.hash.slots) == 0 {
				s.hashing = n
				debug.FreeOSMemory() // argon2 leaves 19 MiB behind, which a router needs elsewhere
			}
		}
	}
}

// mailsMost is how many mails wait at most: a flood of registrations must not fill the disk.
const mailsMost = 10_000

// room returns m, or no mail where the queue is full.
func (s *Service) room(m mail.Mail) mail.Mail {
	n, err := s.st.WaitingMails()
	if err == nil && n < mailsMost {
		return m
	}
	s.o.Log.Error("mail dropped", "waiting", n, "err", err)
	return mail.Mail{}
}

// throttled logs a request that a limit refused.
func (s *Service) throttled(request, from string) {
	s.drops.Add("request refused by a limit", "throttled", "request", request, "from", from)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var errNotHere = fmt.Errorf("account: %w", home.ErrNotFound)
