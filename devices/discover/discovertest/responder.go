// Package discovertest plays the mDNS hosts that a discovery has to cope with, and the devices that answer UDP probes.
// Only tests and benchmarks import it. It runs where nettest.InNamespace put it.
package discovertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
)

// Service is one announced service instance.
type Service struct {
	Instance string // escaped as in DNS where it has to be
	Type     string // "_shelly._tcp"
	Host     string // "plug-1.local."
	Port     uint16
	TXT      []string
	Addrs    []netip.Addr
}

// Style is how a responder answers.
type Style int

// The styles that were met in houses.
const (
	Full     Style = iota // all records of a service in one packet of its own
	PTROnly               // a question for PTR brings PTR alone; the rest has to be asked for
	Packed                // a question for PTR brings as many PTR as fit a packet, packet after packet (one hub for many)
	BadFirst              // as Full, with a malformed record before the good ones
	OneByOne              // as Full, for one service a question, and for none within 900 ms (matter.js 0.17)
)

// Responder answers for services on one interface.
type Responder struct {
	Style Style
	Loss  float64 // the share of its packets that get lost

	mu       sync.Mutex // guards the fields below
	services []Service
	rng      *rand.Rand
	conn     *ipv4.PacketConn
	answered time.Time // the last PTR, of a responder that answers OneByOne
}

var group = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// Start makes r answer for services on an interface until the test ends. It announces nothing by itself.
func (r *Responder) Start(t testing.TB, on net.Interface, services ...Service) {
	t.Helper()
	c, err := net.ListenUDP("udp4", group)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadBuffer(1 << 20)
	p := ipv4.NewPacketConn(c)
	if err := errors.Join(p.JoinGroup(&on, group), p.SetMulticastInterface(&on), p.SetMulticastLoopback(true),
		p.SetMulticastTTL(255)); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.services, r.conn, r.rng = services, p, rand.New(rand.NewPCG(1, 2))
	r.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(r.run)
	t.Cleanup(func() { _ = c.Close(); wg.Wait() })
}

// run answers questions until the socket is closed, in the style of the responder.
func (r *Responder) run() {
	b := make([]byte, 9000)
	var whole dns.Msg
	for {
		n, _, _, err := r.conn.ReadFrom(b)
		if err != nil {
			return
		}
		var q dns.Msg
		if q.Unpack(b[:n]) != nil || q.Response {
			continue
		}
		whole.Question, whole.Answer = append(whole.Question, q.Question...), append(whole.Answer, q.Answer...)
		if q.Truncated { // known answers follow
			continue
		}
		r.mu.Lock()
		for _, m := range r.answers(whole.Question, whole.Answer) {
			r.send(m)
		}
		r.mu.Unlock()
		whole = dns.Msg{}
	}
}

// Set changes what r answers for, and announces nothing.
func (r *Responder) Set(services ...Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services = services
}

// Announce multicasts all that r answers for, unasked.
func (r *Responder) Announce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.services {
		r.send(full(s, 0))
	}
}

// Multicast sends a packet as it is.
func (r *Responder) Multicast(packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.conn.WriteTo(packet, nil, group)
}

// Leave sends goodbyes (TTL 0) for the first n services and answers for them no longer.
func (r *Responder) Leave(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.services[:n] {
		r.send(message(ptr(s, 0)))
	}
	r.services = r.services[n:]
}

// send multicasts a message, or loses it, as r.Loss has it.
func (r *Responder) send(m *dns.Msg) {
	if r.rng.Float64() < r.Loss {
		return
	}
	b, err := m.Pack()
	if err != nil {
		panic(fmt.Sprintf("responder packs its own message: %v", err)) // a test gave a name that is none
	}
	if r.Style == BadFirst {
		b = spoil(b)
	}
	_, _ = r.conn.WriteTo(b, nil, group)
	time.Sleep(20 * time.Microsecond) // a host's own pace
}

// spoil puts an A record of three bytes before the others.
func spoil(b []byte) []byte {
	bad := []byte{3, 'b', 'a', 'd', 0, 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 3, 1, 2, 3}
	// no compression is used, so nothing points behind what is inserted
	out := append(append(append([]byte{}, b[:12]...), bad...), b[12:]...)
	out[7]++
	if out[7] == 0 {
		out[6]++
	}
	return out
}

// answers returns what r answers to questions, known answers left out (RFC 6762, 7.1).
func (r *Responder) answers(questions []dns.Question, known []dns.RR) []*dns.Msg {
	var out []*dns.Msg
	var pile []dns.RR
	knows := map[string]bool{}
	for _, rr := range known {
		// matter.js compares the TTL, too; others are silent for at least half of theirs
		if p, ok := rr.(*dns.PTR); ok && (p.Hdr.Ttl == ptrTTL || r.Style != OneByOne && p.Hdr.Ttl > ptrTTL/2) {
			knows[strings.ToLower(p.Ptr)] = true
		}
	}
	for _, q := range questions {
		name := strings.ToLower(q.Name)
		for _, s := range r.services {
			switch {
			case q.Qtype == dns.TypePTR && name == strings.ToLower(s.Type)+".local.":
				now := time.Now()
				switch {
				case knows[strings.ToLower(fullName(s))]:
				case r.Style == OneByOne:
					if now.Sub(r.answered) > 900*time.Millisecond {
						r.answered = now
						out = append(out, full(s, ptrTTL))
					}
				case r.Style == Full, r.Style == BadFirst:
					out = append(out, full(s, ptrTTL))
				default:
					pile = append(pile, ptr(s, ptrTTL))
				}
			case name == strings.ToLower(fullName(s)):
				if q.Qtype == dns.TypeSRV || q.Qtype == dns.TypeANY {
					pile = append(pile, srv(s))
				}
				if q.Qtype == dns.TypeTXT || q.Qtype == dns.TypeANY {
					pile = append(pile, txt(s))
				}
			case name == strings.ToLower(s.Host):
				for _, rr := range addrs(s) {
					if rr.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY {
						pile = append(pile, rr)
					}
				}
			}
		}
	}
	for len(pile) > 0 { // twelve to a packet: they fit 1,500 bytes
		n := min(12, len(pile))
		out = append(out, message(pile[:n]...))
		pile = pile[n:]
	}
	return out
}

const ptrTTL = 4500 // seconds

func full(s Service, ttl uint32) *dns.Msg {
	if ttl == 0 {
		ttl = ptrTTL
	}
	m := message(ptr(s, ttl))
	m.Extra = append(append(m.Extra, srv(s), txt(s)), addrs(s)...)
	return m
}

func message(answer ...dns.RR) *dns.Msg {
	m := &dns.Msg{Answer: answer}
	m.Response, m.Authoritative = true, true
	return m
}

const unique = dns.ClassINET | 0x8000 // with the cache-flush bit

func fullName(s Service) string { return s.Instance + "." + s.Type + ".local." }

func ptr(s Service, ttl uint32) dns.RR {
	return &dns.PTR{
		Hdr: dns.RR_Header{Name: s.Type + ".local.", Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl},
		Ptr: fullName(s),
	}
}

func srv(s Service) dns.RR {
	return &dns.SRV{
		Hdr:    dns.RR_Header{Name: fullName(s), Rrtype: dns.TypeSRV, Class: unique, Ttl: 120},
		Port:   s.Port,
		Target: s.Host,
	}
}

func txt(s Service) dns.RR {
	t := s.TXT
	if len(t) == 0 {
		t = []string{""}
	}
	return &dns.TXT{Hdr: dns.RR_Header{Name: fullName(s), Rrtype: dns.TypeTXT, Class: unique, Ttl: 4500}, Txt: t}
}

// addrs returns the address records of the host of a service.
func addrs(s Service) []dns.RR {
	var out []dns.RR
	for _, a := range s.Addrs {
		h := dns.RR_Header{Name: s.Host, Class: unique, Ttl: 120}
		if a.Is4() {
			h.Rrtype = dns.TypeA
			out = append(out, &dns.A{Hdr: h, A: a.AsSlice()})
		} else {
			h.Rrtype = dns.TypeAAAA
			out = append(out, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	return out
}

// Many returns n plugs, each a host with an address of its own after base.
func Many(n int, base netip.Addr) []Service {
	var all []Service
	for i := range n {
		base = base.Next()
		all = append(all, Service{
			Instance: fmt.Sprintf("shellyplug-%012x", 0x0200_0000_0000+i), Type: "_shelly._tcp",
			Host: fmt.Sprintf("shellyplug-%d.local.", i), Port: 80, TXT: []string{"gen=2", "app=PlugS"},
			Addrs: []netip.Addr{base},
		})
	}
	return all
}

// OneHost returns n services of one host.
func OneHost(n int, addr netip.Addr) []Service {
	all := Many(n, addr)
	for i := range all {
		all[i].Host, all[i].Addrs, all[i].Port = "hub.local.", []netip.Addr{addr}, uint16(2000+i)
	}
	return all
}

// Answer returns the packet of a Full answer.
func Answer(s Service) []byte {
	b, err := full(s, 0).Pack()
	if err != nil {
		panic(fmt.Sprintf("a test's own message: %v", err))
	}
	return b
}
