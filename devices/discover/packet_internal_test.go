package discover // the walk is what everything from the network goes through first; its laws are stated here

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestUnescapes(t *testing.T) {
	for in, want := range map[string]string{
		`Cam\195\169ra`: "Caméra", `a\.b`: "a.b", `x\\y`: `x\y`, `plain`: "plain", `end\`: `end\`, `\999`: "999", `\25`: "25",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

// Laws: no packet makes the walk or the book panic, and the book stays within its limit.
func FuzzWalk(f *testing.F) {
	m := dns.Msg{}
	m.Response = true
	m.Answer = []dns.RR{
		&dns.PTR{
			Hdr: dns.RR_Header{Name: "_hap._tcp.local.", Rrtype: dns.TypePTR, Class: 1, Ttl: 9},
			Ptr: `a\.b._hap._tcp.local.`,
		},
	}
	if b, err := m.Pack(); err == nil {
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	f.Add([]byte("\x00\x00\x80\x00\x00\x00\xff\xff\x00\x00\x00\x00\xc0\x0c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _, err := walk(b)
		if err != nil && len(records) > 0 {
			t.Error("records of what is no message")
		}
		book := newBook(2, func(string) {})
		now := time.Unix(1_800_000_000, 0)
		for range 3 {
			book.begin()
			book.enter(records, &network{}, 1, now)
			for range 10 {
				now = now.Add(5 * time.Second)
				book.work(now)
			}
			book.end(now)
		}
		if len(book.instances) > 2 || len(book.hosts) > 2 {
			t.Errorf("%d instances, %d hosts beyond the limit", len(book.instances), len(book.hosts))
		}
		for name := range book.instances {
			if !strings.HasSuffix(name, ".local.") {
				t.Errorf("instance %q", name)
			}
		}
	})
}

// A flood of announcements fills the book. Instances of bound devices are entered all the same.
func TestInstancesOfTheHousePassAFullBook(t *testing.T) {
	b := newBook(2, func(string) {})
	b.house = func(keys []string) bool { return keys[0] == "mdns:front door._rekeyd._tcp" }
	for _, name := range []string{"a", "b", "c", `Front\ Door`} {
		b.hint(name+"._rekeyd._tcp.local.", time.Unix(1_800_000_000, 0))
	}
	if len(b.instances) != 3 || b.instances[`front\ door._rekeyd._tcp.local.`] == nil {
		t.Errorf("%d instances", len(b.instances))
	}
}

func TestSilentInstancesAreSuspectedThenGone(t *testing.T) {
	b := newBook(10, func(string) {})
	n := &network{names: map[int]string{1: "x"}}
	n.prefixes = []prefix{{mustPrefix("10.0.0.1/24"), 1}}
	now := time.Unix(1_800_000_000, 0)
	b.begin()
	b.enter(plugRecords(), n, 1, now)
	if report, _, _ := b.work(now); len(report) != 1 || report[0].Gone {
		t.Fatalf("reported %+v, want the plug", report)
	}
	b.end(now)
	for sweep := 1; sweep <= 6; sweep++ {
		b.begin()
		now = now.Add(time.Minute)
		b.end(now)
		report, ask, _ := b.work(now)
		if asked := len(ask) > 0; sweep < 4 && asked != (sweep >= 2) {
			t.Errorf("missed %d sweeps: asks %v, want it by name from the second on", sweep, ask)
		}
		if gone := len(report) == 1 && report[0].Gone; gone != (sweep == 4) {
			t.Errorf("missed %d sweeps: reported %+v; want it gone after the fourth, its TTL of 120 s being over", sweep, report)
		}
	}
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func plugRecords() []record {
	const name, hostName = "plug._hap._tcp.local.", "plug.local."
	return []record{
		{name: "_hap._tcp.local.", raw: "_hap._tcp.local.", kind: dns.TypePTR, ttl: 4500, to: name},
		{name: name, raw: name, kind: dns.TypeSRV, ttl: 120, to: hostName, port: 80},
		{name: name, raw: name, kind: dns.TypeTXT, ttl: 4500, txt: []string{"ci=7"}},
		{name: hostName, raw: hostName, kind: dns.TypeA, ttl: 120, addr: mustPrefix("10.0.0.7/24").Addr()},
	}
}
