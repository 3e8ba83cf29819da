package sim

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	allTypes = "_services._dns-sd._udp.local." // RFC 6763, 9
	longTTL  = 4500                            // seconds; of what does not depend on an address (RFC 6762, 10)
	hostTTL  = 120
	unique   = dns.ClassINET | 1<<15 // no other host has such a record (RFC 6762, 10.2)
)

// announcement is the mDNS service of one device.
type announcement struct {
	instance, service, host string // service and host with ".local."
	addr                    netip.Addr
	port                    uint16
	txt                     []string
}

func header(name string, t, class uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: class, Ttl: ttl}
}

func message(answer ...dns.RR) *dns.Msg {
	m := &dns.Msg{Answer: answer, Compress: true}
	m.Response, m.Authoritative = true, true
	return m
}

// plain makes m an answer for one who knows nothing of mDNS: no cache-flush bits, nothing to be kept for long.
func plain(m *dns.Msg) {
	for _, rrs := range [][]dns.RR{m.Answer, m.Extra} {
		for _, rr := range rrs {
			rr.Header().Class = dns.ClassINET
			rr.Header().Ttl = min(rr.Header().Ttl, 10)
		}
	}
}

func (a announcement) name() string { return escape(a.instance) + "." + a.service }

func (a announcement) ptr(ttl uint32) dns.RR {
	return &dns.PTR{Hdr: header(a.service, dns.TypePTR, dns.ClassINET, ttl), Ptr: a.name()}
}

func (a announcement) srv() dns.RR {
	return &dns.SRV{Hdr: header(a.name(), dns.TypeSRV, unique, hostTTL), Port: a.port, Target: a.host}
}

func (a announcement) texts() dns.RR {
	texts := make([]string, len(a.txt))
	for i, t := range a.txt {
		t = t[:min(len(t), 255)]
		texts[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(t)
	}
	return &dns.TXT{Hdr: header(a.name(), dns.TypeTXT, unique, longTTL), Txt: texts}
}

func (a announcement) address() dns.RR {
	return &dns.A{Hdr: header(a.host, dns.TypeA, unique, hostTTL), A: a.addr.AsSlice()}
}

// full returns all records of the device in one message, so that no further question is needed.
func (a announcement) full() *dns.Msg {
	m := message(a.ptr(longTTL))
	m.Extra = []dns.RR{a.srv(), a.texts(), a.address()}
	return m
}

// escape writes a name as one label of DNS (RFC 1035, 5.1).
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(`\.()"; @$`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
