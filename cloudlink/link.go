package cloudlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
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

	Brokers []string // used instead of the account's, where given

	// Began is told after a new epoch is on disk. SignedIn is told of sessions that are. Both must not block; both may be nil.
	Began    func(home.Epoch)
	SignedIn func(home.Epoch, []home.DeviceID)
	// Expelled is told when the account no longer knows this member. It must not block, and may be nil.
	Expelled func()
	// States returns the states of all devices, which are published after every connect. May be nil.
	States func() []DeviceState
	// Relay passes an app's request on to a device that this member holds (or is), once. It returns home.ErrNotFound, ErrForeign, ErrBusy,
	// errors.ErrUnsupported, and anything else for a device that does not answer. It is called for several at once, and may be nil.
	Relay func(ctx context.Context, d home.DeviceID, request []byte) ([]byte, error)
	// Secret is set for a device that speaks the link itself: its binding secret, sealed when it enrols.
	Secret home.Secret

	Batch    int           // devices a message; 512 when zero
	Window   int           // conversations open at once; 4 when zero
	Patience time.Duration // how long an answer is waited for before the errand is begun again; 5 s when zero
	AskEvery time.Duration // how often the service is asked for what might have been withheld; 15 min when zero
}

// Link is a member's end of the account link.
type Link struct {
	o      Options
	out    chan *wire.Message
	wake   chan struct{}
	rejoin chan struct{}
	orders chan order
	counts counts

	mu       sync.Mutex // guards what follows
	conn     *mqtt.Conn
	online   bool
	heard    time.Time // when the service last answered what it was asked
	trouble  string    // why the link does not work, for people; empty when it does
	offer    *offer
	open     map[string]*conversation // by the message that waits for its answer
	busy     map[errandKey]bool       // errands in an open conversation
	deferred map[errandKey]pause      // errands that the service refused for now
	looked   time.Time                // when the outbox was last looked into
	more     bool                     // there was more than a batch in it
	early    bool                     // it is to be looked into again, for what came too soon after
	asked    time.Time                // when the service was last asked for what was missed; zero for at once
	misses   int                      // conversations in a row that nobody answered
	member   bool                     // of a device: the service has said that it is enrolled
	turned   int                      // of a device: how often in a row it was told that it is not bound yet
	recorded map[string]time.Time     // when a reason to drop was last written down
	refusals int                      // of the broker, in a row
	relayed  map[string]*done         // requests to devices, by the message that brought them
}

// offer is a pairing that waits to be used.
type offer struct {
	pairing  pairing.Pairing
	email    string
	password home.Secret
	enrolled bool       // the service has answered; its first grant is awaited
	done     chan error // buffered: told once
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
	if o.Batch == 0 {
		o.Batch = 512
	}
	if o.Window == 0 {
		o.Window = 4
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	if o.AskEvery == 0 {
		o.AskEvery = 15 * time.Minute
	}
	if o.Batch < 1 || o.Batch > wire.MaxDevices || o.Window < 1 || o.Patience < 0 || o.AskEvery < 0 {
		errs = append(errs, fmt.Errorf("batch %d (1 to %d), window %d, patience %v or ask-every %v is out of range",
			o.Batch, wire.MaxDevices, o.Window, o.Patience, o.AskEvery))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return &Link{
		o: o, out: make(chan *wire.Message, 64), wake: make(chan struct{}, 1), rejoin: make(chan struct{}, 1),
		open: map[string]*conversation{}, busy: map[errandKey]bool{}, deferred: map[errandKey]pause{}, recorded: map[string]time.Time{},
		orders: make(chan order, relayQueue), relayed: map[string]*done{},
	}, nil
}

// Wake tells the link that errands wait. It never blocks.
func (l *Link) Wake() { poke(l.wake) }

// Rejoin tells the link that the account in the store has changed (joined, left, other brokers). It never blocks.
func (l *Link) Rejoin() { poke(l.rejoin) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// State says whether the link works: connected, and the service has answered lately. Reason is for people, empty when up.
func (l *Link) State() (up bool, reason string) {
	if _, err := l.o.Store.Account(); errors.Is(err, home.ErrNoAccount) {
		return false, "not signed in to an account"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.trouble != "":
		return false, l.trouble
	case !l.online:
		return false, "no broker answers"
	case l.heard.IsZero() || l.misses > 1:
		return false, "the account service does not answer (if this state came from a backup, sign in again)"
	}
	return true, ""
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

// brokers returns whom to dial: nobody while the member belongs to no account and none is offered.
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
		return offer.pairing.Brokers, nil
	}
	return a.Brokers, nil
}

// serve runs one connection, with what sends and what plans, until ctx ends or the account changed.
func (l *Link) serve(all context.Context, brokers []string) error {
	ctx, stop := context.WithCancel(all) // of this connection
	defer stop()
	id := l.o.Identity
	filters := []string{wire.InboxTopic(id.Name)}
	if a, err := l.o.Store.Account(); err == nil {
		filters = append(filters, wire.NoticeTopic(string(a.ID)))
	}
	conn, err := mqtt.New(mqtt.Options{
		Brokers: brokers, ClientID: id.Name, Username: id.Name, Password: id.Login(), Filters: filters,
		Receive: l.receive, Birth: l.birth, Will: l.will, Up: l.up, Log: l.o.Log,
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.conn, l.trouble = conn, ""
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
		case <-l.rejoin:
			stop()
		}
	})
	err = conn.Run(ctx)
	stop()
	parts.Wait()
	if errors.Is(err, home.ErrCredential) {
		// The owner is told once, and nobody knocks again at once. But a broker that was set up wrongly for a moment is right again
		// some day, so it is asked now and then.
		l.mu.Lock()
		l.trouble = "the broker refused this hub's credential"
		l.refusals++
		pause := min(refusedPause<<min(l.refusals-1, 10), refusedLongest)
		first := l.refusals == 1
		l.mu.Unlock()
		if first {
			l.o.Log.Error("broker refused this member", "err", err, "pause", pause)
		}
		l.settle(err) // who is signing in hears so at once
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

// up is called by the connection when it comes and goes. What was open before is begun anew: its answers may be lost.
func (l *Link) up(is bool) {
	for { // what still waits to be sent belongs to a conversation that is forgotten now
		select {
		case <-l.out:
			continue
		default:
		}
		break
	}
	l.mu.Lock()
	l.online = is
	if is {
		l.refusals = 0
	}
	clear(l.open)
	clear(l.busy)
	l.asked = time.Time{}
	l.mu.Unlock()
	l.Wake()
}

// send signs and sends what the link has to say, in the order of its sequence numbers.
func (l *Link) send(ctx context.Context, conn *mqtt.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-l.out:
			m.Seq = l.o.Boot<<32 | uint64(l.counts.sent.Add(1))
			m.At = time.Now().UnixMilli()
			raw, err := l.o.Identity.Sign(m)
			if err == nil {
				err = conn.Publish(mqtt.Message{Topic: wire.OutboxTopic(l.o.Identity.Name), Payload: raw})
			}
			l.o.Log.Debug("message sent", "type", m.Type, "id", m.ID, "re", m.Re, "seq", m.Seq)
			if err != nil && ctx.Err() == nil {
				l.o.Log.Warn("message not sent", "type", m.Body.Type(), "err", err) // its errand is begun again in time
			}
		}
	}
}

// say queues a message to the service. It may wait for the socket, but never for an answer.
func (l *Link) say(m *wire.Message) {
	select {
	case l.out <- m:
	case <-time.After(l.o.Patience): // nobody sends: the connection has just ended
	}
}

// counts are what happened, for metrics and tests.
type counts struct {
	sent                                                  atomic.Uint32
	malformed, forged, old, replayed, expired, unexpected atomic.Uint64
}

// Counts returns how many messages were dropped, by reason.
func (l *Link) Counts() map[string]uint64 {
	return map[string]uint64{
		"malformed": l.counts.malformed.Load(), "forged": l.counts.forged.Load(), "old": l.counts.old.Load(),
		"replayed": l.counts.replayed.Load(), "expired": l.counts.expired.Load(), "unexpected": l.counts.unexpected.Load(),
	}
}

// drop counts and logs a message that is not acted on, and records it in the history, at most once a minute and reason: whoever can
// publish must not be able to wear out the disk.
func (l *Link) drop(n *atomic.Uint64, what string, err error) {
	n.Add(1)
	now := time.Now()
	l.mu.Lock()
	last, known := l.recorded[what]
	again := known && now.Sub(last) < time.Minute
	if !again {
		l.recorded[what] = now
	}
	l.mu.Unlock()
	if again {
		return
	}
	l.o.Log.Warn("message dropped", "reason", what, "err", err)
	if err := l.o.Store.Record(home.Event{At: now.UTC().Round(0), What: "message refused", Detail: what}); err != nil {
		l.o.Log.Error("history not written", "err", err)
	}
}

func ids[T ~string](ss []string) []T {
	out := make([]T, len(ss))
	for i, s := range ss {
		out[i] = T(s)
	}
	return out
}

func without(ss []string, refused []wire.Outcome) []string {
	return slices.DeleteFunc(slices.Clone(ss), func(s string) bool {
		return slices.ContainsFunc(refused, func(o wire.Outcome) bool { return o.ID == s })
	})
}
