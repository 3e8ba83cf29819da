package cloudlink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what New checks.
type Options struct {
	Identity *wire.Identity
	Store    Store
	Boot     uint64 // how often this member has started, ever growing: the upper half of its sequence numbers
	Version  string // of the software, for people
	Name     string // of the member, for people
	Log      *slog.Logger

	Brokers  []string                            // used instead of the account's, where given
	BrokerCA *x509.CertPool                      // authorities of brokers' certificates; nil for the system's
	Dial     func(addr string) (net.Conn, error) // to a broker; TCP or TLS when nil

	// Began is called after a new epoch is on disk, SignedIn after sessions are. Neither may block; both may be nil.
	Began    func(home.Epoch)
	SignedIn func(home.Epoch, []home.DeviceID)
	// Expelled is called when the account no longer knows this member. It must not block, and may be nil.
	Expelled func()
	// States returns the states of all devices, which are published after every connect. May be nil.
	States func() []DeviceState
	// Relay passes an app's request on to a device that this member holds (or is), once. It returns home.ErrNotFound,
	// ErrForeign, ErrBusy, errors.ErrUnsupported, and anything else for a device that does not answer. It is called for
	// several at once, and may be nil.
	Relay func(ctx context.Context, d home.DeviceID, request []byte) ([]byte, error)
	// Sharing is set for a hub. Turns is called with the list of devices after each renewal of the lease; changed reports
	// that the list is another, or that the lease had ended. It must not block, and may be nil.
	Sharing Sharing
	Turns   func(held []home.Held, changed bool)
	// Secret is set for a device that speaks the link itself: its binding secret, sealed when it enrols.
	Secret home.Secret

	Batch    int           // devices a message; as many as one may name when zero
	Patience time.Duration // time to wait for an answer before the request is repeated; 5 s when zero
	AskEvery time.Duration // how often the service is asked for what might have been withheld; 15 min when zero
	KeyLife  time.Duration // after which the sealing key is replaced; 24 h when zero
}

// Link is a member's end of the account link.
type Link struct {
	o      Options
	began  time.Time // of this start: relays expire by it
	out    chan []byte
	wake   chan struct{}
	rejoin chan struct{}
	orders chan order
	sent   atomic.Uint32 // requests of this start

	mu              sync.Mutex // guards what follows
	conn            *mqtt.Conn
	online          bool
	answeredAt      time.Time // when the service last answered a request
	trouble         string    // why the link does not work, for people; empty when it does
	offer           *offer
	pending         *request             // the request that waits for its answer
	ahead           *request             // the sign-in after it, signed and not sent; nil for none
	deferred        map[errandKey]pause  // errands that the service refused for now
	committing      map[errandKey]bool   // errands whose answer is being committed
	asked           time.Time            // when hello was last sent; zero for at once
	nonce           []byte               // the service's, for the next sign-in; nil before welcome
	renewed         bool                 // nonce came with a refusal
	challenge       []byte               // for the next change of the sealing key; nil when the service has not sent one
	requestsRefused int                  // by the service, as a whole
	misses          int                  // deadlines in a row without an answer
	suspect         int                  // devices of the request that was given up; 0 for none
	most            int                  // devices a request after that; 0 for no such limit
	halved          time.Time            // when most was set
	member          bool                 // of a native device: the service has enrolled it
	unsealed        bool                 // of a native device: the service seals to a key that this state lacks
	turned          int                  // of a native device: refused enrolments in a row
	enrolAgain      time.Time            // of a native device: not before
	recorded        map[string]time.Time // when a reason to drop was last written to the history
	refusals        int                  // of the broker, in a row
	statusDue       time.Time            // when the status is published again
	relayed         map[string]*outcome  // requests to devices, by the message that brought them
	lease           lease
}

// New checks o, all of it, and returns a Link. It does not connect: Run does.
func New(o Options) (*Link, error) {
	var errs []error
	if o.Identity == nil || o.Store == nil || o.Log == nil {
		errs = append(errs, errors.New("identity, store and log are needed"))
	}
	for _, b := range o.Brokers {
		_, err := mqtt.ParseBroker(b)
		errs = append(errs, err)
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	if o.AskEvery == 0 {
		o.AskEvery = 15 * time.Minute
	}
	if o.KeyLife == 0 {
		o.KeyLife = 24 * time.Hour
	}
	if o.Batch < 0 || o.Batch > wire.MaxDevices || o.Patience < 0 || o.AskEvery < 0 || o.KeyLife < 0 {
		errs = append(errs, fmt.Errorf("batch %d (0 to %d), patience %v, ask-every %v or key-life %v is out of range",
			o.Batch, wire.MaxDevices, o.Patience, o.AskEvery, o.KeyLife))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{
		o: o, began: time.Now(), out: make(chan []byte, 64), wake: make(chan struct{}, 1), rejoin: make(chan struct{}, 1),
		deferred: map[errandKey]pause{}, committing: map[errandKey]bool{}, recorded: map[string]time.Time{},
		orders: make(chan order, relayQueue), relayed: map[string]*outcome{},
	}
	if a, err := o.Store.Account(); err == nil { // else it belongs to none, or Run fails
		l.lease.shared = a.Shared && o.Sharing != nil
	}
	return l, nil
}

// Wake has the link look for errands. It never blocks.
func (l *Link) Wake() { poke(l.wake) }

// Rejoin has the link connect anew, after the account in the store has changed (joined, left, other brokers). It never
// blocks.
func (l *Link) Rejoin() { poke(l.rejoin) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Answered returns when the account service last answered; zero where it did not in this run.
func (l *Link) Answered() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answeredAt
}

// State returns whether the link works: connected, and the service has answered lately. Reason is for people, empty
// when up. Status, page, history and a login that fails show the same one.
func (l *Link) State() (up bool, reason string) {
	if _, err := l.o.Store.Account(); errors.Is(err, home.ErrNoAccount) {
		return false, "not signed in to an account"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	why := l.down()
	return why == "", why
}

// How long a broker that refused the credential is left alone: doubled each time.
const (
	refusedPause   = time.Minute
	refusedLongest = time.Hour
)

// Run keeps the link until ctx ends. It waits, without a connection, while the member belongs to no account.
func (l *Link) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		brokers, err := l.brokers()
		if err != nil && !errors.Is(err, home.ErrNoAccount) {
			return err
		}
		if len(brokers) == 0 {
			select {
			case <-ctx.Done():
			case <-l.rejoin:
			}
			continue
		}
		if err := l.serve(ctx, brokers); err != nil {
			return err
		}
	}
	return nil
}

// brokers returns the brokers to dial: none while the member belongs to no account and has no pairing to use.
func (l *Link) brokers() ([]string, error) {
	l.mu.Lock()
	offer := l.offer
	l.mu.Unlock()
	a, err := l.o.Store.Account()
	switch offered := offer != nil && !offer.enrolled; {
	case !offered && err != nil:
		return nil, err
	case len(l.o.Brokers) > 0:
		return l.o.Brokers, nil
	case offered:
		return wire.URLs(offer.pairing.Brokers), nil
	}
	return a.Brokers, nil
}

// serve runs one connection, with what sends and what plans, until ctx ends or the account changed.
func (l *Link) serve(all context.Context, brokers []string) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(all)) // of this connection, which gives the lease back
	defer stop()
	id := l.o.Identity
	filters := []string{wire.InboxTopic(id.Name)}
	if a, err := l.o.Store.Account(); err == nil {
		filters = append(filters, wire.NoticeTopic(string(a.ID)))
	}
	conn, err := mqtt.New(mqtt.Options{
		Brokers: brokers, ClientID: id.Name, Username: id.Name, Password: id.Login(), Filters: filters,
		Roots:   l.o.BrokerCA,
		Receive: l.receive, Birth: l.birth, Will: l.will, Up: l.up, Down: l.recordDown, Log: l.o.Log, Dial: l.o.Dial,
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.conn, l.trouble, l.pending, l.ahead, l.nonce, l.challenge = conn, "", nil, nil, nil, nil
	l.lease.ended, l.lease.page = false, page{}
	l.mu.Unlock()
	var parts sync.WaitGroup
	parts.Go(func() { l.send(ctx, conn) })
	parts.Go(func() { l.plan(ctx) })
	for range relayWorkers {
		parts.Go(func() { l.work(ctx) })
	}
	parts.Go(func() {
		select {
		case <-ctx.Done():
		case <-all.Done():
			l.release()
			stop()
		case <-l.rejoin:
			stop()
		}
	})
	err = conn.Run(ctx)
	stop()
	parts.Wait()
	if errors.Is(err, home.ErrCredential) {
		// The log has one line for the owner, and the broker is dialled again after a pause: its configuration may be wrong
		// for a short time only.
		l.mu.Lock()
		l.trouble = refusedCredential
		l.refusals++
		pause := min(refusedPause<<min(l.refusals-1, 10), refusedLongest)
		first := l.refusals == 1
		l.mu.Unlock()
		if first {
			l.o.Log.Error("broker refused this member", "err", err, "pause", pause)
		}
		l.settle(err) // a sign-in that waits ends at once
		again := time.NewTimer(pause)
		defer again.Stop()
		select {
		case <-l.rejoin:
		case <-again.C:
		case <-all.Done():
		}
		return nil
	}
	return err
}

// up is called by the connection when it comes and goes. A request without an answer is repeated at once: one may have
// been lost.
func (l *Link) up(is bool) {
	for drained := false; !drained; { // what still waits to be sent was for the connection before
		select {
		case <-l.out:
		default:
			drained = true
		}
	}
	l.mu.Lock()
	l.online = is
	if is {
		l.refusals = 0
		l.statusDue = time.Now().Add(min(lateWill, l.o.AskEvery))
	}
	if l.pending != nil {
		l.pending.deadline = time.Time{}
	}
	l.asked = time.Time{}
	l.mu.Unlock()
	l.Wake()
}

// send publishes signed messages in their order.
func (l *Link) send(ctx context.Context, conn *mqtt.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case raw := <-l.out:
			err := conn.Publish(mqtt.Message{Topic: wire.OutboxTopic(l.o.Identity.Name), Payload: raw})
			if err != nil && ctx.Err() == nil {
				l.o.Log.Warn("message not sent", "err", err) // it is repeated in time
			}
		}
	}
}
