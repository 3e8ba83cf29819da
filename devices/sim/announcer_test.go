package sim_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grandcat/zeroconf"
	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// browse returns what zeroconf finds of a type, by address, once there are n or a minute is over.
func browse(t *testing.T, typ string, n int) map[netip.Addr]*zeroconf.ServiceEntry {
	t.Helper()
	r, err := zeroconf.NewResolver(
		zeroconf.SelectIfaces([]net.Interface{nettest.Loopback(t)}), zeroconf.SelectIPTraffic(zeroconf.IPv4),
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	entries := make(chan *zeroconf.ServiceEntry, 100)
	if err := r.Browse(ctx, typ, "local.", entries); err != nil {
		t.Fatal(err)
	}
	found := map[netip.Addr]*zeroconf.ServiceEntry{}
	for e := range entries {
		if len(e.AddrIPv4) == 1 {
			found[netip.AddrFrom4([4]byte(e.AddrIPv4[0].To4()))] = e
		}
		if len(found) == n {
			stop()
		}
	}
	return found
}

func TestEveryDeviceIsFoundByMDNS(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	specs, err := sim.ParseCount("plug:iot=3,switch:iot=2,bulb:iot=2,camera:native=2")
	if err != nil {
		t.Fatal(err)
	}
	specs[0].Name = `Hall "plug" (1.st); a\b`
	h := live(t, sim.Options{Announce: true}, specs...)
	native, hap := browse(t, "_rekeyd._tcp", 2), browse(t, "_hap._tcp", 7)
	for _, d := range h.Devices() {
		e := hap[d.Addr().Addr()]
		want := "ci=" + map[home.Kind]string{home.Plug: "7", home.Switch: "8", home.Bulb: "5"}[d.Kind()]
		if d.Protocol() == home.Native {
			e, want = native[d.Addr().Addr()], "id="+string(d.ID())
		}
		if e == nil {
			t.Errorf("%s at %s was not found", d.Name(), d.Addr())
			continue
		}
		if !strings.Contains(fmt.Sprint(e.Text), want) {
			t.Errorf("%s has %q, want %s in it", d.Name(), e.Text, want)
		}
		if d.Protocol() == home.Native && e.Port != int(d.Addr().Port()) {
			t.Errorf("%s has port %d, want %s", d.Name(), e.Port, d.Addr())
		}
	}
}

// multicasts collects what is multicast until the test ends.
type multicasts struct {
	mu   sync.Mutex // guards the fields below
	seen map[string]uint32
}

func listen(t *testing.T) *multicasts {
	t.Helper()
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	c, err := net.ListenUDP("udp4", group)
	if err != nil {
		t.Fatal(err)
	}
	lo := nettest.Loopback(t)
	if err := ipv4.NewPacketConn(c).JoinGroup(&lo, group); err != nil {
		t.Fatal(err)
	}
	h := &multicasts{seen: map[string]uint32{}}
	var read sync.WaitGroup
	read.Go(func() {
		b := make([]byte, 9000)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			var m dns.Msg
			if m.Unpack(b[:n]) != nil || !m.Response {
				continue
			}
			h.mu.Lock()
			for _, rr := range m.Answer {
				if p, ok := rr.(*dns.PTR); ok {
					h.seen[p.Ptr] = p.Hdr.Ttl
				}
			}
			h.mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = c.Close(); read.Wait() })
	return h
}

func (h *multicasts) ttl(name string) (uint32, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ttl, ok := h.seen[name]
	return ttl, ok
}

func (h *multicasts) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.seen)
}

func TestHouseAnnouncesItselfAndSendsGoodbyes(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	broadcasts := listen(t)
	specs, _ := sim.ParseCount("plug:iot=2")
	h, err := sim.New(sim.Options{Announce: true, Log: slog.New(slog.DiscardHandler)}, specs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var run sync.WaitGroup
	run.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	has := func(name string) func() bool {
		return func() bool { ttl, ok := broadcasts.ttl(name); return ok && ttl > 0 }
	}
	eventually(
		t,
		"both announced",
		func() bool { return has("plug-1._hap._tcp.local.")() && has("plug-2._hap._tcp.local.")() },
	)
	h.Devices()[1].PowerOff()
	broadcasts.forget()
	if err := errors.Join(h.Devices()[0].PowerOn(), h.Devices()[1].PowerOn()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one that is back is announced", has("plug-2._hap._tcp.local."))
	h.Devices()[1].PowerOff()
	broadcasts.forget()
	stop()
	run.Wait()
	eventually(t, "goodbye", func() bool { ttl, ok := broadcasts.ttl("plug-1._hap._tcp.local."); return ok && ttl == 0 })
	if _, ok := broadcasts.ttl("plug-2._hap._tcp.local."); ok {
		t.Error("one that is off was spoken of")
	}
}

func TestOneShotQuestionIsAnsweredToItsAsker(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	specs, _ := sim.ParseCount("camera:native=1")
	d := live(t, sim.Options{Announce: true}, specs...).Devices()[0]
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(q *dns.Msg) *dns.Msg {
		t.Helper()
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo(b, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b = make([]byte, 9000)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(b[:n]); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	q := new(dns.Msg).SetQuestion("_services._dns-sd._udp.local.", dns.TypePTR)
	if m := ask(q); m.Id != q.Id || len(m.Answer) != 1 || m.Answer[0].(*dns.PTR).Ptr != "_rekeyd._tcp.local." ||
		m.Answer[0].Header().Ttl > 10 {
		t.Errorf("types: %v", m)
	}
	q = new(dns.Msg).SetQuestion(string(d.ID())+"._REKEYD._tcp.local.", dns.TypeSRV)
	if m := ask(q); len(m.Answer) != 2 || m.Answer[0].(*dns.SRV).Port != d.Addr().Port() {
		t.Errorf("service: %v", m)
	}
	// Who asks a hundred times in one message is answered once.
	q = new(dns.Msg).SetQuestion("_rekeyd._tcp.local.", dns.TypePTR)
	for range 100 {
		q.Question = append(
			q.Question, q.Question[0], dns.Question{Name: string(d.ID()) + ".local.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
		)
	}
	q.Compress = true
	if m := ask(q); m.Id != q.Id || len(m.Answer) != 1 || len(m.Extra) != 3 {
		t.Errorf("asked often: %v", m)
	}
	// What the asker knows is not sent again: the next answer that comes is to the next question.
	known := new(dns.Msg).SetQuestion("_rekeyd._tcp.local.", dns.TypePTR)
	known.Answer = []dns.RR{
		&dns.PTR{
			Hdr: dns.RR_Header{Name: "_rekeyd._tcp.local.", Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: 4500},
			Ptr: string(d.ID()) + "._rekeyd._tcp.local.",
		},
	}
	b, err := known.Pack()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.WriteTo(b, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	q = new(dns.Msg).SetQuestion(string(d.ID())+".local.", dns.TypeA)
	if m := ask(q); m.Id != q.Id || !m.Answer[0].(*dns.A).A.Equal(d.Addr().Addr().AsSlice()) {
		t.Errorf("address: %v", m)
	}
}
