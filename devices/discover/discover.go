package discover

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Discovery finds devices. One Run at a time.
type Discovery struct {
	o Options

	mu     sync.Mutex // guards the rest
	counts map[string]uint64
	warned map[string]time.Time
	mdns   error // why mDNS is not available; nil while it is
}

// New checks o, all of it, and returns a Discovery. It opens nothing: Run does.
func New(o Options) (*Discovery, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return &Discovery{o: o, counts: map[string]uint64{}, warned: map[string]time.Time{}}, nil
}

// Counts returns what was dropped, by reason, since New.
func (d *Discovery) Counts() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

// quiet is how long a reason for dropping is not logged again.
const quiet = 10 * time.Minute

// count counts a drop by its reason, and logs the reason once in a while.
func (d *Discovery) count(what string) {
	d.mu.Lock()
	d.counts[what]++
	n, now := d.counts[what], time.Now()
	logged := now.Sub(d.warned[what]) > quiet
	if logged {
		d.warned[what] = now
	}
	d.mu.Unlock()
	if logged {
		d.o.Log.Warn("dropped", "what", what, "count", n)
	}
}

// Run finds devices until ctx ends, and returns nil then. It hands sightings to see in batches, and never calls it
// twice at once. A slow see delays nothing but itself: the newest sightings meanwhile are kept. A device that
// stays is reported once a sweep. Run waits for an interface where none is there, and never gives up.
func (d *Discovery) Run(ctx context.Context, see func([]home.Sighting)) error {
	out := newOutbox()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { out.run(ctx, see) })
	wg.Go(d.prepare)

	r := &run{Discovery: d, out: out, wake: make(chan struct{}, 1)}
	r.book = newBook(d.o.Limit, d.count)
	r.replies = newReplies(d.o.Limit, d.count)
	if d.o.House != nil {
		r.book.house, r.replies.house = d.o.House, d.o.House
	}
	r.targets = &targets{all: d.o.Targets, count: d.count, named: map[string][]netip.Addr{}}
	r.book.targeted = r.targets.contain
	r.cameras = newCameras(d.o.House)
	var now *network
	for ctx.Err() == nil {
		next := r.awaitNetwork(ctx, now)
		if ctx.Err() != nil {
			break
		}
		now = next
		for _, trouble := range d.o.Interfaces.Troubles() {
			d.o.Log.Warn("interface not usable", "trouble", trouble.What, "hint", trouble.Hint)
		}
		if now.empty() {
			continue
		}
		d.o.Log.Info("looking for devices", "interfaces", names(now))
		if !r.on(ctx, now) {
			now = nil // try the same again
		}
	}
	return nil
}

// sharePort is the hint for the owner where another program has the port of mDNS for itself.
const sharePort = "let the program that uses UDP port 5353 share it (avahi: disallow-other-stacks=no)"

func (d *Discovery) listened(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mdns = err
}

// Troubles returns why devices cannot be found, or some of them.
func (d *Discovery) Troubles() []home.Trouble {
	troubles := d.o.Interfaces.Troubles()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mdns != nil {
		troubles = append(troubles, home.Trouble{
			What: "devices that only announce themselves are not found: mDNS is not available: " + d.mdns.Error(),
			Hint: sharePort,
		})
	}
	return troubles
}

// prepare has the probes made ready that take a while.
func (d *Discovery) prepare() {
	for _, p := range d.o.Probes {
		if p, ok := p.(interface{ prepare() }); ok {
			p.prepare()
		}
	}
}

// names returns the names of the interfaces, for the log.
func names(n *network) []string {
	var all []string
	for _, i := range n.interfaces {
		all = append(all, i.Name)
	}
	return all
}

// run is what one Run keeps from network to network.
type run struct {
	*Discovery
	book    *book
	replies *replies
	cameras *cameras
	targets *targets
	out     *outbox
	wake    chan struct{} // wakes the completer
}

// awaitNetwork polls the allowed interfaces until they differ from old, or ctx ends.
func (r *run) awaitNetwork(ctx context.Context, old *network) *network {
	for {
		n, err := look(r.o.Interfaces)
		if err != nil {
			r.count("interfaces could not be listed")
		} else if !n.same(old) {
			return n
		}
		select {
		case <-ctx.Done():
			return old
		case <-time.After(r.o.Pace.Poll):
		}
	}
}

// on looks for devices on n until ctx ends or the interfaces change. It returns false, after a while, where mDNS was
// not available.
func (r *run) on(ctx context.Context, n *network) bool {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	l, err := listen(n)
	r.listened(err)
	if err != nil {
		// Another program holds the port for itself (avahi's disallow-other-stacks): the probes go on without mDNS.
		r.o.Log.Error("mDNS is not available", "err", err, "hint", sharePort)
		l = &listener{net: n}
	}
	wg.Go(func() {
		l.run(ctx, func(msg []byte, index int) { r.receive(msg, n, index) }, r.count)
	})
	wg.Go(func() { r.complete(ctx, l) })
	wg.Go(func() { r.sweeps(ctx, l) })
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(retryListen):
		}
		return false
	}
	r.awaitNetwork(ctx, n)
	return true
}

// retryListen is how long the probes go on without mDNS before it is tried again.
const retryListen = 5 * time.Minute

// receive enters one mDNS packet in the book.
func (r *run) receive(msg []byte, n *network, index int) {
	records, bad, err := walk(msg)
	if err != nil {
		r.count("mdns packet that is none")
		return
	}
	if bad > 0 {
		r.count("mdns record malformed")
	}
	if len(records) == 0 {
		return
	}
	r.book.enter(records, n, index, time.Now())
	r.wakeCompleter()
}

func (r *run) wakeCompleter() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// gather is how long the completer waits for more packets: a batch is cheaper than its parts.
const gather = 20 * time.Millisecond

// complete is the completer: it asks for missing records and reports complete instances. It sleeps while no packet
// comes.
func (r *run) complete(ctx context.Context, l *listener) {
	var next time.Time
	for {
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-due:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		sightings, questions, again := r.book.work(time.Now())
		r.out.put(sightings)
		r.cameras.offerAnnounced(sightings)
		l.ask(ctx, questions)
		types, known, browse := r.book.browseAgain(time.Now())
		l.sendAll(ctx, queries(types, known))
		if next = again; next.IsZero() || !browse.IsZero() && browse.Before(next) {
			next = browse
		}
	}
}

// sweeps runs sweep after sweep.
func (r *run) sweeps(ctx context.Context, l *listener) {
	for n := 0; ; n++ {
		first, pause := n < r.o.Pace.Quick, r.o.Pace.Then
		if first {
			pause = r.o.Pace.First
		}
		over := time.After(jitter(pause))
		r.sweep(ctx, l, first)
		select {
		case <-ctx.Done():
			return
		case <-over:
		}
	}
}

func jitter(d time.Duration) time.Duration {
	return d*9/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}
