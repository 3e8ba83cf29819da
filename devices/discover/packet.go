package discover

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// record is one resource record of an mDNS answer, as far as it matters here.
type record struct {
	name  string // lower case, escaped, with its last dot
	raw   string // the name as it came
	kind  uint16 // dns.TypePTR, TypeSRV, TypeTXT, TypeA, TypeAAAA
	ttl   uint32 // seconds; 0 is a goodbye
	flush bool   // RFC 6762, 10.2: there are no further records of this name and type
	to    string // the target of PTR and SRV, as it came
	port  uint16
	txt   []string
	addr  netip.Addr
}

var errNotDNS = errors.New("not a DNS message")

// walk reads an mDNS message record by record. One that is malformed is left out and counted; the rest is used:
// some responders (python-zeroconf 0.47) put a record into their answers that a whole-message parser chokes on.
// A query has no answers for us, also where it lists those that its sender knows.
func walk(msg []byte) (records []record, bad int, err error) {
	if len(msg) < 12 {
		return nil, 0, errNotDNS
	}
	if msg[2]&0x80 == 0 {
		return nil, 0, nil
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(msg[at:])) }
	off := 12
	for range count(4) {
		if _, off, err = dns.UnpackDomainName(msg, off); err != nil || off+4 > len(msg) {
			return nil, 0, errNotDNS
		}
		off += 4
	}
	for range count(6) + count(8) + count(10) {
		raw, head, err := dns.UnpackDomainName(msg, off)
		if err != nil || head+10 > len(msg) {
			return records, bad + 1, nil // where the next one begins is not known any more
		}
		end := head + 10 + int(binary.BigEndian.Uint16(msg[head+8:]))
		if end > len(msg) {
			return records, bad + 1, nil
		}
		rr, _, err := dns.UnpackRR(msg[:end], off)
		off = end
		if err != nil {
			bad++
			continue
		}
		if r, ok := take(rr, raw); ok {
			records = append(records, r)
		}
	}
	return records, bad, nil
}

// take returns the record in the form of the book; ok is false for types and classes that are not used.
func take(rr dns.RR, raw string) (record, bool) {
	h := rr.Header()
	r := record{name: strings.ToLower(raw), raw: raw, kind: h.Rrtype, ttl: h.Ttl, flush: h.Class&0x8000 != 0}
	if h.Class&0x7fff != dns.ClassINET {
		return r, false
	}
	ok := true
	switch rr := rr.(type) {
	case *dns.PTR:
		r.to = rr.Ptr
	case *dns.SRV:
		r.to, r.port = rr.Target, rr.Port
	case *dns.TXT:
		r.txt = rr.Txt
	case *dns.A:
		r.addr, ok = netip.AddrFromSlice(rr.A)
		r.addr = r.addr.Unmap()
	case *dns.AAAA:
		r.addr, ok = netip.AddrFromSlice(rr.AAAA)
	default:
		ok = false
	}
	return r, ok
}

// unescape returns a name or text as people know it: "Cam\195\169ra" is "Caméra", "\." is a dot within a name.
// What is not valid UTF-8 then is made so.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]) {
			if v := int(s[i+1]-'0')*100 + int(s[i+2]-'0')*10 + int(s[i+3]-'0'); v < 256 {
				b = append(b, byte(v))
				i += 3
				continue
			}
		}
		i++
		b = append(b, s[i])
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
