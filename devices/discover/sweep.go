package discover

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/grandcat/zeroconf"
)

// How many zeroconf resolvers run at a time. Each costs two sockets, four goroutines and 128 kB while it runs: the
// first sweeps become faster by more of them, the later ones do not.
const (
	firstResolvers = 8
	laterResolvers = 3
)

// sweep asks for every service type once, sends the probes, and waits for the answers. The first sweeps after a start
// ask more often: a device that is missed then is found a minute later only.
func (r *run) sweep(ctx context.Context, l *listener, first bool) {
	r.book.begin()
	r.replies.begin()
	var wg sync.WaitGroup
	if len(r.o.Probes) > 0 {
		wg.Go(func() { r.probe(ctx, l.net) })
	}
	if r.o.Recognise != nil {
		wg.Go(func() { r.findCameras(ctx, l.net) })
	}
	if l.v4 != nil || l.v6 != nil {
		resolvers := laterResolvers
		if first {
			resolvers = firstResolvers
			wg.Go(func() { r.repeatQuestions(ctx, l) })
		}
		wg.Go(func() { r.browseAll(ctx, l, resolvers) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return // an interrupted sweep is no evidence of absence
	}
	r.book.end(time.Now())
	r.out.put(r.replies.end(time.Now()))
	r.wakeCompleter()
	r.o.Log.Debug("sweep ended", "first", first)
}

// repeatQuestions asks for all types in one packet, three times with growing pauses (RFC 6762, section 5.2): zeroconf
// stops asking after its first answer, and every lost packet would cost a sweep.
func (r *run) repeatQuestions(ctx context.Context, l *listener) {
	w := r.o.Pace.Window
	for _, p := range []time.Duration{0, w / 5, w * 2 / 5} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(p):
		}
		l.sendAll(ctx, queries(r.book.browse(time.Now())))
	}
}

// browseAll browses for every type, with so many resolvers at a time, in a different order every time.
func (r *run) browseAll(ctx context.Context, l *listener, resolvers int) {
	types := slices.Collect(maps.Keys(serviceTypes))
	rand.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	work := make(chan string)
	var wg sync.WaitGroup
	for range resolvers {
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

// browse asks for one type with zeroconf for the length of a window. v1.0.0 needs a fresh resolver each time, no
// address family that cannot be joined (it would leak the socket of the other), a list of interfaces that is not empty
// (it would use all), a buffer (or its receive loop blocks), and a reader that drains its channel (or a goroutine and a
// socket stay).
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
		r.count("zeroconf did not start") // the interface is gone, or the port is not shared: the next sweep tries again
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
		r.book.hint(e.Instance+"."+typ+".local.", time.Now())
		r.wakeCompleter()
	}
}
