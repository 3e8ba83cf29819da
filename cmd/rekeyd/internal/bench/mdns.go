package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// patience is how long a browser has to find what is there.
const patience = 20 * time.Second

// atOnce is how many networks are browsed at once: most of the time each waits.
const atOnce = 6

// hosts are what is announced, in a network of its own each, on home0.
var hosts = []struct {
	name  string
	n     int
	start func(*bench, int)
}{
	{"avahi host, 20 services", 20, avahi},
	{"avahi host, 200 services", 200, avahi},
	{"200 hosts that send PTR only", 200, responder(discovertest.PTROnly, 0, discovertest.Many)},
	{"one hub that answers for 200", 200, responder(discovertest.Packed, 0, discovertest.OneHost)},
	{"python-zeroconf host, 10 services", 10, pythonHost},
	{"2,000 hosts, full answers", 2000, responder(discovertest.Full, 0, discovertest.Many)},
	{"1,000 hosts, 20 % of packets lost", 1000, responder(discovertest.Full, 0.2, discovertest.Many)},
}

func avahi(b *bench, n int) {
	nettest.Link(b, "home0", "10.9.0.1/24")
	discovertest.Avahi(b, "home0", n)
}

func pythonHost(b *bench, n int) {
	nettest.Link(b, "home0", "10.9.0.1/24")
	discovertest.PythonZeroconf(b, netip.MustParseAddr("10.9.0.1"), n)
}

func responder(style discovertest.Style, loss float64, services func(int, netip.Addr) []discovertest.Service) func(*bench, int) {
	return func(b *bench, n int) {
		r := &discovertest.Responder{Style: style, Loss: loss}
		r.Start(b, nettest.Link(b, "home0", "10.9.0.1/16"), services(n, netip.MustParseAddr("10.9.1.0"))...)
	}
}

// recall is what one browser found of one kind of host.
type recall struct {
	Found, Want int
	Last        time.Duration // when the last new one was found
	Missing     string        // why it was not measured
}

func (r recall) String() string {
	switch {
	case r.Missing != "":
		return "–"
	case r.Found == 0:
		return fmt.Sprintf("0 of %s", thousands(r.Want))
	}
	return fmt.Sprintf("%s of %s in %.1f s", thousands(r.Found), thousands(r.Want), r.Last.Seconds())
}

// discovery measures recall and time of each browser with each kind of host.
func discovery(ctx context.Context, o options) ([]table, error) {
	t := table{title: "mDNS: what is found, and when the last of it", columns: []string{"what is there"}}
	for _, b := range browsers {
		t.columns = append(t.columns, b.name)
	}
	found := make([]recall, len(hosts)*len(browsers))
	errs := make([]error, len(found))
	room := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range found {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			errs[i] = inNamespace(ctx, &found[i], "mdns", strconv.Itoa(i/len(browsers)), strconv.Itoa(i%len(browsers)))
		})
	}
	all.Wait()
	if err := errors.Join(errs...); errors.Is(err, errMissing) {
		t.notef("Not measured: %v.", err)
		return []table{t}, nil
	} else if err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for i, h := range hosts {
		cells := []string{h.name}
		for _, r := range found[i*len(browsers) : (i+1)*len(browsers)] {
			cells = append(cells, r.String())
			if r.Missing != "" && !missing[r.Missing] {
				missing[r.Missing] = true
				t.notef("– : %s.", r.Missing)
			}
		}
		t.row(cells...)
	}
	t.notef("Each pair in a network namespace of its own, %d at once, for %s at most. A service counts when its address and port are known; "+
		"the time is that of the last new one. rekeyd looks with its default pace.", atOnce, patience)
	return []table{t}, nil
}

// mdnsInside has one browser look for one kind of host in this namespace; args are their numbers.
func mdnsInside(ctx context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("want HOST BROWSER")
	}
	h, err1 := strconv.Atoi(args[0])
	w, err2 := strconv.Atoi(args[1])
	if err1 != nil || err2 != nil || h < 0 || h >= len(hosts) || w < 0 || w >= len(browsers) {
		return nil, errors.New("no such host or browser")
	}
	host, browser := hosts[h], browsers[w]
	out := recall{Want: host.n}
	missing, err := do(func(b *bench) {
		host.start(b, host.n)
		ctx, stop := context.WithTimeout(ctx, patience)
		defer stop()
		c := &counter{began: time.Now(), want: host.n, names: map[string]bool{}, all: stop}
		browser.browse(ctx, b, "home0", c)
		out.Found, out.Last = c.result()
	})
	out.Missing = missing
	return out, err
}

// counter counts what a browser finds, and ends its search when that is all.
type counter struct {
	began time.Time
	want  int
	all   func()

	mu    sync.Mutex // guards what follows
	names map[string]bool
	last  time.Duration
}

func (c *counter) saw(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names[name] {
		return
	}
	c.names[name], c.last = true, time.Since(c.began)
	if len(c.names) >= c.want {
		c.all()
	}
}

func (c *counter) result() (int, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.names), c.last
}
