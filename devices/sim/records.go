package sim

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	allTypes = "_services._dns-sd._udp.local." // RFC 6763, 9
	longTTL  = 4500                            // seconds; of what does not depend on an address (RFC 6762, 10)
	hostTTL  = 120
	unique   = dns.ClassINET | 1<<15 // nobody else has such a record (RFC 6762, 10.2)
	hapPort  = 51826                 // nothing listens there: the device only tells that it has HomeKit
)

// record is what is announced of one device.
type record struct {
	instance, typ, host string // typ and host with ".local."
	port                uint16
	texts               []string
	addr                netip.Addr
}

// serviceOf returns what is announced of a device: _rekeyd._tcp for one that speaks the link. Kasa devices have no service of
// their own; those with HomeKit announce that.
func serviceOf(d *Device) record {
	r := record{addr: d.spec.Addr, host: string(d.ID()) + ".local."}
	if d.nat != nil {
		r.instance, r.typ, r.port, r.texts = string(d.ID()), device.Service+".local.", nativePort, d.nat.device().TXT()
		return r
	}
	// An id of HomeKit looks like a hardware address and is none.
	id := append(net.HardwareAddr{0x02}, d.iot.mac[1:]...)
	category := map[home.Kind]int{home.Bulb: 5, home.Plug: 7, home.Switch: 8}[d.Kind()]
	r.instance, r.typ, r.port = d.Name(), "_hap._tcp.local.", hapPort
	r.host = strings.ToLower(d.iot.model.name) + "-" + hex.EncodeToString(d.iot.mac[3:]) + ".local."
	r.texts = []string{
		"id=" + strings.ToUpper(id.String()), "md=" + d.iot.model.full, fmt.Sprintf("ci=%d", category),
		"c#=1", "s#=1", "sf=0", "ff=0", "pv=1.1",
	}
	return r
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

func (r record) name() string { return escape(r.instance) + "." + r.typ }

func (r record) ptr(ttl uint32) dns.RR {
	return &dns.PTR{Hdr: header(r.typ, dns.TypePTR, dns.ClassINET, ttl), Ptr: r.name()}
}

func (r record) srv() dns.RR {
	return &dns.SRV{Hdr: header(r.name(), dns.TypeSRV, unique, hostTTL), Port: r.port, Target: r.host}
}

func (r record) txt() dns.RR {
	texts := make([]string, len(r.texts))
	for i, t := range r.texts {
		t = t[:min(len(t), 255)]
		texts[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(t)
	}
	return &dns.TXT{Hdr: header(r.name(), dns.TypeTXT, unique, longTTL), Txt: texts}
}

func (r record) a() dns.RR {
	return &dns.A{Hdr: header(r.host, dns.TypeA, unique, hostTTL), A: r.addr.AsSlice()}
}

// full returns all records of the device in one message, so that nobody has to ask for the rest.
func (r record) full() *dns.Msg {
	m := message(r.ptr(longTTL))
	m.Extra = []dns.RR{r.srv(), r.txt(), r.a()}
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
