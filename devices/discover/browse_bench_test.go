package discover_test

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/grandcat/zeroconf"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/discover/discovertest"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// browseTime is how long a browser has.
const browseTime = 20 * time.Second

// BenchmarkBrowse has each browser look for each kind of host, every pair in a network of its own. A service counts
// when its address and port are known. The time is that of the last new one: s/last, 0 when none was found.
func BenchmarkBrowse(b *testing.B) {
	type services func(int, netip.Addr) []discovertest.Service
	many := func(style discovertest.Style, loss float64, of services) func(*testing.B, int) {
		return func(b *testing.B, n int) {
			r := &discovertest.Responder{Style: style, Loss: loss}
			r.Start(b, nettest.Link(b, "home0", "10.9.0.1/16"), of(n, netip.MustParseAddr("10.9.1.0"))...)
		}
	}
	avahi := func(b *testing.B, n int) {
		nettest.Link(b, "home0", "10.9.0.1/24")
		discovertest.Avahi(b, "home0", n)
	}
	python := func(b *testing.B, n int) {
		nettest.Link(b, "home0", "10.9.0.1/24")
		discovertest.PythonZeroconf(b, netip.MustParseAddr("10.9.0.1"), n)
	}
	for _, host := range []struct {
		name  string
		n     int
		start func(*testing.B, int)
	}{
		{"avahi-20", 20, avahi},
		{"avahi-200", 200, avahi},
		{"200-send-PTR-only", 200, many(discovertest.PTROnly, 0, discovertest.Many)},
		{"one-answers-for-200", 200, many(discovertest.Packed, 0, discovertest.OneHost)},
		{"python-zeroconf-10", 10, python},
		{"2000-full-answers", 2000, many(discovertest.Full, 0, discovertest.Many)},
		{"1000-with-20%-loss", 1000, many(discovertest.Full, 0.2, discovertest.Many)},
	} {
		for _, browser := range []struct {
			name    string
			prepare func(*testing.B)
			browse  func(*testing.B, context.Context, func(string))
		}{
			{"rekeyd", nothing, browseOurs},
			{"zeroconf", nothing, browseZeroconf},
			{"python-zeroconf", nothing, browsePython},
			{"avahi-browse", func(b *testing.B) { discovertest.AvahiOnBus(b, "home0") }, browseAvahi},
		} {
			b.Run("host="+host.name+"/by="+browser.name, func(b *testing.B) {
				if browser.name == "avahi-browse" && strings.HasPrefix(host.name, "avahi") {
					b.Skip("avahi-browse would ask the very daemon that is to be found")
				}
				if !nettest.InNamespace(b) {
					return
				}
				host.start(b, host.n)
				browser.prepare(b)
				ctx, stop := context.WithTimeout(b.Context(), browseTime)
				defer stop()
				found, began, last := map[string]bool{}, time.Now(), time.Duration(0)
				browser.browse(b, ctx, func(name string) {
					if !found[name] {
						found[name], last = true, time.Since(began)
					}
					if len(found) == host.n {
						stop()
					}
				})
				b.ReportMetric(float64(len(found)), "found")
				b.ReportMetric(float64(host.n), "there")
				b.ReportMetric(last.Seconds(), "s/last")
			})
		}
	}
}

func nothing(*testing.B) {}

func browseOurs(b *testing.B, ctx context.Context, saw func(string)) {
	d, err := discover.New(discover.Options{Interfaces: discover.Interfaces{"home0"}, Probes: []discover.Probe{}})
	if err == nil {
		err = d.Run(ctx, func(batch []home.Sighting) {
			for _, s := range batch {
				if !s.Gone && s.Addr.IsValid() && s.Addr.Port() != 0 {
					saw(s.Keys[len(s.Keys)-1])
				}
			}
		})
	}
	if err != nil {
		b.Fatal(err)
	}
}

func browseZeroconf(b *testing.B, ctx context.Context, saw func(string)) {
	i, err := net.InterfaceByName("home0")
	if err != nil {
		b.Fatal(err)
	}
	r, err := zeroconf.NewResolver(zeroconf.SelectIfaces([]net.Interface{*i}), zeroconf.SelectIPTraffic(zeroconf.IPv4))
	if err != nil {
		b.Fatal(err)
	}
	entries := make(chan *zeroconf.ServiceEntry, 4096)
	if err := r.Browse(ctx, "_shelly._tcp", "local.", entries); err != nil {
		b.Fatal(err)
	}
	for e := range entries {
		if len(e.AddrIPv4)+len(e.AddrIPv6) > 0 && e.Port != 0 {
			saw(e.Instance)
		}
	}
}

// browsePython resolves each service as the documentation of python-zeroconf does.
func browsePython(b *testing.B, ctx context.Context, saw func(string)) {
	eachLine(b, ctx, saw, "/usr/bin/python3", "-c", `
import threading, zeroconf as z
zc = z.Zeroconf(interfaces=z.InterfaceChoice.All)
class L(z.ServiceListener):
    def add_service(self, zc, t, name):
        i = zc.get_service_info(t, name)
        if i and i.port and i.parsed_addresses():
            print(name, flush=True)
    def update_service(self, zc, t, name): pass
    def remove_service(self, zc, t, name): pass
z.ServiceBrowser(zc, "_shelly._tcp.local.", L())
threading.Event().wait(3600)`)
}

func browseAvahi(b *testing.B, ctx context.Context, saw func(string)) {
	eachLine(b, ctx, func(line string) {
		if f := strings.Split(line, ";"); len(f) > 8 && f[0] == "=" && f[7] != "" && f[8] != "0" {
			saw(f[3])
		}
	}, "avahi-browse", "--resolve", "--parsable", "_shelly._tcp")
}

// eachLine passes on what a program prints until ctx ends.
func eachLine(b *testing.B, ctx context.Context, take func(string), name string, args ...string) {
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		nettest.Missing(b, "%v", err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		take(s.Text())
	}
	if err := cmd.Wait(); ctx.Err() == nil {
		b.Fatalf("%s ended early: %v", name, err)
	}
}
