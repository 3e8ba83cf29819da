package discover_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/xor"
)

func TestFindsAllOfADebianAvahiHost(t *testing.T) {
	for _, n := range []int{20, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			nettest.Link(t, "home0", "10.9.0.1/24")
			discovertest.Avahi(t, "home0", n)
			w := start(t, discover.Options{Pace: quickly, Probes: []discover.Probe{}})
			took := w.until(t, time.Minute, "all of avahi's", present(n))
			t.Logf("%d in %s", n, took)
		})
	}
}

func TestFindsAllOfAPythonZeroconfHost(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	nettest.Link(t, "home0", "10.9.0.1/24")
	discovertest.PythonZeroconf(t, netip.MustParseAddr("10.9.0.1"), 10)
	w := start(t, discover.Options{Pace: quickly, Probes: []discover.Probe{}})
	took := w.until(t, 40*time.Second, "all of python-zeroconf's", present(10))
	t.Logf("10 in %s", took)
}

const plugReply = `{"system":{"get_sysinfo":{"mac":"50:C7:BF:01:02:%02X","type":"IOT.SMARTPLUGSWITCH",` +
	`"model":"HS100","alias":"p%d"}},"cnCloud":{"get_info":{"username":"a@example.com","binded":1}}}`

func TestKasaProbeFindsDevicesAndDropsGarbage(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	replies := map[netip.Addr][]byte{netip.MustParseAddr("127.0.0.66"): []byte("garbage")}
	for i := range 5 {
		replies[netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + i)})] = xor.Seal(fmt.Appendf(nil, plugReply, i, i))
	}
	house := discovertest.Kasa(t, replies)
	w := start(t, discover.Options{Interfaces: discover.Interfaces{"lo"}, Pace: discover.Pace{
		Window: 400 * time.Millisecond, First: 450 * time.Millisecond, Then: 450 * time.Millisecond, Poll: time.Second,
	}})
	w.until(t, time.Minute, "five plugs, whose they are, and the garbage counted",
		func(m map[string]home.Sighting) bool {
			n := 0
			for _, s := range m {
				if s.Protocol == home.IOT && s.Owner == home.OwnerOf("a@example.com") && s.Addr.Port() == 9999 {
					n++
				}
			}
			return n == 5 && w.Counts()["reply that is none"] > 0
		})
	first, second := netip.MustParseAddr("127.0.0.10"), netip.MustParseAddr("127.0.0.77")
	firstIsAt := func(m map[string]home.Sighting) netip.Addr { return m["iot-udp mac:50c7bf010200"].Addr.Addr() }
	house.Set(second, xor.Seal(fmt.Appendf(nil, plugReply, 0, 0)))
	w.until(t, time.Minute, "a second address for the first plug, refused", func(m map[string]home.Sighting) bool {
		return w.Counts()["reply from a second address"] > 1 && firstIsAt(m) == first
	})
	w.until(t, time.Minute, "the second address is passed on as another one", func(m map[string]home.Sighting) bool {
		s := m["iot-udp mac:50c7bf010200"]
		return s.Addr.Addr() == first && len(s.AlsoAt) == 1 && s.AlsoAt[0] == netip.AddrPortFrom(second, 9999)
	})
	house.Set(first, nil)
	w.until(t, time.Minute, "the first plug at the second address, since it left the first",
		func(m map[string]home.Sighting) bool {
			return firstIsAt(m) == second && len(m["iot-udp mac:50c7bf010200"].AlsoAt) == 0
		})
	house.Set(second, nil)
	w.until(t, time.Minute, "the first plug gone",
		func(m map[string]home.Sighting) bool { return m["iot-udp mac:50c7bf010200"].Gone })
}

func TestGarbageIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{}
	r.Start(t, nettest.Loopback(t), discovertest.Many(1, base)...)
	w := start(t, onLoopback())
	w.until(t, time.Minute, "the device", present(1))
	r.Multicast([]byte("garbage"))
	r.Multicast([]byte("\x00\x00\x84\x00\x00\x00\xff\xff\x00\x00\x00\x00\xc0\x0c\xff"))
	send(t, "224.0.0.251:5353", discovertest.Many(2, base)[1])
	w.until(t, time.Minute, "all of it counted, and no device of it", func(m map[string]home.Sighting) bool {
		c := w.Counts()
		return len(m) == 1 && c["mdns packet that is none"] > 0 && c["mdns record malformed"] > 0 &&
			c["mdns from another port"] > 0
	})
}

func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{}
	r.Start(t, nettest.Loopback(t), discovertest.Many(500, base)...)
	o := onLoopback()
	o.Limit = 100
	w := start(t, o)
	w.until(t, time.Minute, "the limit reached", func(m map[string]home.Sighting) bool {
		return len(m) == 100 && w.Counts()["mdns beyond limit"] >= 400
	})
}

// What the completer is there for: zeroconf v1.0.0, asked the best way, sees nothing of these hosts. When this fails,
// zeroconf has become better and the completer may become smaller.
func TestZeroconfAloneMisses(t *testing.T) {
	for _, c := range []struct {
		name     string
		style    discovertest.Style
		services []discovertest.Service
	}{
		{"ptr-only", discovertest.PTROnly, discovertest.Many(20, base)},
		{"one-hub", discovertest.Packed, discovertest.OneHost(20, base)},
		{"malformed-record", discovertest.BadFirst, discovertest.Many(20, base)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !nettest.InNamespace(t) {
				return
			}
			lo := nettest.Loopback(t)
			r := &discovertest.Responder{Style: c.style}
			r.Start(t, lo, c.services...)
			if got := len(browse(t, 300*time.Millisecond)); got != 0 {
				t.Errorf("zeroconf found %d of %d", got, len(c.services))
			}
		})
	}
}

func TestZeroconfAloneReportsNoGoodbye(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := &discovertest.Responder{}
	r.Start(t, nettest.Loopback(t), discovertest.Many(20, base)...)
	time.AfterFunc(150*time.Millisecond, func() { r.Leave(20) })
	if got := len(browse(t, 400*time.Millisecond)); got != 20 {
		t.Errorf("%d entries; 20 that came are all it reports, and nothing of their leaving", got)
	}
}

func browse(t *testing.T, window time.Duration) []*zeroconf.ServiceEntry {
	t.Helper()
	resolver, err := zeroconf.NewResolver(
		zeroconf.SelectIfaces([]net.Interface{nettest.Loopback(t)}), zeroconf.SelectIPTraffic(zeroconf.IPv4),
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), window)
	defer cancel()
	entries := make(chan *zeroconf.ServiceEntry, 4096)
	if err := resolver.Browse(ctx, "_shelly._tcp", "local.", entries); err != nil {
		t.Fatal(err)
	}
	var all []*zeroconf.ServiceEntry
	for e := range entries {
		all = append(all, e)
	}
	return all
}
