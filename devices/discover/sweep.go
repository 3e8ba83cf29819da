package discover

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/grandcat/zeroconf"
	"github.com/miekg/dns"
)

// How many zeroconf resolvers run at a time. Each costs two sockets, four goroutines and 128 kB while it runs: in the first
// sweeps that buys speed, later it buys nothing.
const (
	quickLanes = 8
	calmLanes  = 3
)

// sweep asks for every type once, by zeroconf and by the completer, and by the probes, and waits for the answers.
func (r *run) sweep(ctx context.Context, l *listener, lanes int) {
	r.book.begin()
	r.replies.begin()
	var wg sync.WaitGroup
	if len(r.o.Probes) > 0 {
		wg.Go(func() { r.probe(ctx, l.net) })
	}
	if l.v4 != nil || l.v6 != nil {
		wg.Go(func() { r.askTypes(ctx, l, lanes == quickLanes) })
		wg.Go(func() { r.browseAll(ctx, l, lanes) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return // a sweep that was cut short says nothing about who is missing
	}
	r.book.end(time.Now())
	r.out.put(r.replies.end(time.Now()))
	r.nudge()
}

// askTypes asks for all types in one packet; in a first sweep three times, further and further apart (RFC 6762, 5.2).
func (r *run) askTypes(ctx context.Context, l *listener, thrice bool) {
	var all []dns.Question
	for _, t := range slices.Sorted(maps.Keys(serviceTypes)) {
		all = append(all, question(t+".local.", dns.TypePTR))
	}
	w := r.o.Pace.Window
	pauses := []time.Duration{0, w / 5, w * 2 / 5}
	if !thrice {
		pauses = pauses[:1]
	}
	for _, p := range pauses {
		select {
		case <-ctx.Done():
			return
		case <-time.After(p):
		}
		l.ask(ctx, all)
	}
}

// browseAll has every type browsed, at most lanes of them at a time, in an order of its own every time.
func (r *run) browseAll(ctx context.Context, l *listener, lanes int) {
	types := slices.Collect(maps.Keys(serviceTypes))
	rand.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	work := make(chan string)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for t := range work {
				r.browse(ctx, l, t)
			}
		})
	}
	for _, t := range types {
		work <- t
	}
	close(work)
	wg.Wait()
}

// browse is one window of zeroconf for one type. What v1.0.0 needs: a fresh resolver each time, no family that cannot be
// joined (it would leak the other's socket), never an empty list of interfaces (it would take them all), a buffer (or its receive
// loop stands still), and its channel read to the end (or a goroutine and a socket stay).
func (r *run) browse(ctx context.Context, l *listener, typ string) {
	if ctx.Err() != nil {
		return
	}
	var families zeroconf.IPType
	if l.v4 != nil {
		families |= zeroconf.IPv4
	}
	if l.v6 != nil {
		families |= zeroconf.IPv6
	}
	resolver, err := zeroconf.NewResolver(zeroconf.SelectIfaces(l.net.interfaces), zeroconf.SelectIPTraffic(families))
	if err != nil {
		r.count("zeroconf did not start") // the interface went, or the port is not shared: the next sweep tries again
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Pace.Window)
	defer cancel()
	entries := make(chan *zeroconf.ServiceEntry, 4096)
	if err := resolver.Browse(ctx, typ, "local.", entries); err != nil {
		r.count("zeroconf did not browse")
		cancel()
	}
	for e := range entries {
		r.book.hint(e.Instance + "." + typ + ".local.")
		r.nudge()
	}
}
