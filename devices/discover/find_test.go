package discover_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// quickly is the default order of things, a good deal faster.
var quickly = discover.Pace{
	Window: 300 * time.Millisecond,
	First:  500 * time.Millisecond,
	Then:   time.Second,
	Poll:   100 * time.Millisecond,
}

// watch runs a discovery until the test ends and keeps what it saw.
type watch struct {
	*discover.Discovery
	began time.Time

	mu      sync.Mutex
	last    map[string]home.Sighting // by weakest key
	changed chan struct{}
}

func start(t *testing.T, o discover.Options) *watch {
	t.Helper()
	d, err := discover.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Discovery: d, began: time.Now(), last: map[string]home.Sighting{}, changed: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, w.see) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run did not end with its context")
		}
	})
	return w
}

func (w *watch) see(batch []home.Sighting) {
	w.mu.Lock()
	for _, s := range batch {
		w.last[s.Source+" "+s.Keys[len(s.Keys)-1]] = s
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// until waits for what is seen to satisfy ok, and fails the test when it does not in time.
func (w *watch) until(
	t *testing.T, limit time.Duration, what string, ok func(map[string]home.Sighting) bool,
) time.Duration {
	t.Helper()
	over := time.After(limit)
	for {
		w.mu.Lock()
		done, n := ok(w.last), len(w.last)
		w.mu.Unlock()
		if done {
			return time.Since(w.began)
		}
		select {
		case <-w.changed:
		case <-over:
			t.Fatalf("after %s not seen: %s (%d sightings, dropped %v)", limit, what, n, w.Counts())
		}
	}
}

func present(n int) func(map[string]home.Sighting) bool {
	return func(m map[string]home.Sighting) bool {
		here := 0
		for _, s := range m {
			if !s.Gone {
				here++
			}
		}
		return here >= n
	}
}

func onLoopback() discover.Options {
	return discover.Options{Interfaces: discover.Interfaces{"lo"}, Pace: quickly, Probes: []discover.Probe{}}
}

var base = netip.MustParseAddr("127.1.0.0")

func TestFindsEveryStyleOfHost(t *testing.T) {
	for _, c := range []struct {
		name     string
		style    discovertest.Style
		services []discovertest.Service
	}{
		{"full", discovertest.Full, discovertest.Many(200, base)},
		{"full-2000", discovertest.Full, discovertest.Many(2000, base)},
		{"ptr-only", discovertest.PTROnly, discovertest.Many(200, base)},
		{"one-hub", discovertest.Packed, discovertest.OneHost(200, base)},
		{"malformed-record", discovertest.BadFirst, discovertest.Many(50, base)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			r := &discovertest.Responder{Style: c.style}
			r.Start(t, nettest.Loopback(t), c.services...)
			w := start(t, onLoopback())
			took := w.until(t, 40*time.Second, "all of them", present(len(c.services)))
			t.Logf("%d in %s, dropped %v", len(c.services), took, w.Counts())
		})
	}
}

// Of 14 nodes in one process of matter.js only the first ever answered: 1 was found within 20 s, and the others when
// they announced themselves again. A repeated question that carries what is known finds one a second.
func TestFindsAllOfAHostThatAnswersWithOneServiceAQuestion(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{Style: discovertest.OneByOne}
	r.Start(t, nettest.Loopback(t), discovertest.Many(14, base)...)
	o := onLoopback()
	o.Pace = discover.Pace{} // the real one
	w := start(t, o)
	took := w.until(t, 40*time.Second, "all of them", present(14))
	t.Logf("14 in %s, dropped %v", took, w.Counts())
}

func TestFindsAThousandWithAFifthOfPacketsLost(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{Loss: 0.2}
	r.Start(t, nettest.Loopback(t), discovertest.Many(1000, base)...)
	o := onLoopback()
	o.Pace = discover.Pace{} // the real one
	w := start(t, o)
	took := w.until(t, 40*time.Second, "1,000", present(1000))
	t.Logf("1,000 in %s", took)
}

func TestNoticesWhoLeavesAndWhoMoves(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{}
	services := discovertest.Many(20, base)
	r.Start(t, nettest.Loopback(t), services...)
	w := start(t, onLoopback())
	w.until(t, time.Minute, "all of them", present(20))

	r.Leave(5)
	w.until(t, time.Minute, "five goodbyes", func(m map[string]home.Sighting) bool {
		gone := 0
		for _, s := range m {
			if s.Gone {
				gone++
			}
		}
		return gone == 5
	})

	moved := discovertest.Many(20, netip.MustParseAddr("127.2.0.0"))[5:]
	r.Set(moved...)
	r.Announce()
	w.until(t, time.Minute, "fifteen new addresses", func(m map[string]home.Sighting) bool {
		n := 0
		for _, s := range m {
			if !s.Gone && len(s.Addrs) == 1 && s.Addr.Addr().As4()[1] == 2 {
				n++
			}
		}
		return n == 15
	})
}

func TestUsesAnInterfaceThatAppearsLater(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	w := start(t, discover.Options{Pace: quickly}) // default interfaces: none is there yet
	home0 := nettest.Link(t, "home0", "10.9.0.1/24", "fd00:9::1/64")
	r := &discovertest.Responder{}
	r.Start(t, home0, discovertest.Many(3, netip.MustParseAddr("10.9.0.10"))...)
	w.until(t, time.Minute, "three", present(3))
	other := nettest.Link(t, "home1", "10.8.0.1/24")
	r2 := &discovertest.Responder{}
	all := discovertest.Many(6, netip.MustParseAddr("10.8.0.10"))
	r2.Start(t, other, all[3:]...)
	w.until(t, time.Minute, "six, three on an interface that came later", present(6))
}

func TestForgedAnswersAreNotBelieved(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	lan := nettest.Link(t, "lan0", "10.9.0.1/24")
	wan := nettest.Link(t, "wan0", "198.51.100.1/24")
	o := discover.Options{Interfaces: discover.Interfaces{"lan0"}, Pace: quickly, Probes: []discover.Probe{}}

	outside := &discovertest.Responder{} // an address outside, announced on the LAN
	outside.Start(t, lan, discovertest.Many(1, netip.MustParseAddr("203.0.113.5"))...)
	honest := &discovertest.Responder{}
	two := discovertest.Many(2, netip.MustParseAddr("10.9.0.20"))
	honest.Start(t, lan, two[1])
	elsewhere := &discovertest.Responder{} // an address inside, announced on another interface
	three := discovertest.Many(3, netip.MustParseAddr("10.9.0.40"))
	elsewhere.Start(t, wan, three[2])

	w := start(t, o)
	// zeroconf takes an answer from any interface: its hint must not become a device either
	for range 30 {
		elsewhere.Announce()
		unicast(t, three[2])
		time.Sleep(50 * time.Millisecond)
	}
	w.until(t, time.Minute, "the honest one", present(1))
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, s := range w.last {
		if !s.Gone && s.Addr.Addr() != two[1].Addrs[0] {
			t.Errorf("believed %s at %s", key, s.Addr)
		}
	}
	c := w.Counts()
	if c["mdns address outside the subnets"] == 0 || c["mdns over another interface"] == 0 {
		t.Errorf("counts %v: want both forgeries counted", c)
	}
}

// unicast sends a full answer to port 5353 of this host, over the loopback interface.
func unicast(t *testing.T, s discovertest.Service) {
	t.Helper()
	send(t, "127.0.0.1:5353", s)
}

// send sends a full answer from a port that is not 5353.
func send(t *testing.T, to string, s discovertest.Service) {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(discovertest.Answer(s)); err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	// zeroconf's server announces from a goroutine that its Shutdown does not end: it ends by itself within three seconds.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/grandcat/zeroconf.(*Server).probe"))
}
