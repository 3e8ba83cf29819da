package discover

import (
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Questions for service types carry the answers that are known already (RFC 6762, 7.1), so a responder answers with the
// rest. Some answer with one instance a question: 14 nodes of matter.js in one process, of which only the first ever
// answered. While a question brings a new instance, its type is asked for again, once a second.

const (
	maxQuiet  = 3         // questions in a row that bring nothing new, then no more
	maxKnown  = 1500      // known answers with one question
	maxPacket = 1400      // bytes: fits an Ethernet frame behind the headers of IPv6 and UDP
	ptrSuffix = ".local." // of a type's name
)

// browsing paces the questions for one service type.
type browsing struct {
	last  time.Time // of the last question
	next  time.Time // when the next one is due; zero for never
	quiet int       // questions since something new came
}

// news has the type asked for again: its last question brought an instance that was not known.
func (b *book) news(typ string, now time.Time) {
	w := b.types[typ]
	if w == nil {
		w = &browsing{}
		b.types[typ] = w
	}
	w.quiet = 0
	if !w.next.IsZero() {
		return
	}
	if w.next = w.last.Add(askAgain); w.next.Before(now) {
		w.next = now.Add(settle) // the announcement of others may be on its way
	}
}

// browse returns a question for every type of the table that was not asked for within the last second, and what is
// known of these types.
func (b *book) browse(now time.Time) (types []string, known []dns.RR) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, typ := range slices.Sorted(maps.Keys(serviceTypes)) {
		w := b.types[typ]
		if w == nil {
			w = &browsing{}
			b.types[typ] = w
		}
		if now.Sub(w.last) < askAgain {
			continue
		}
		w.last = now
		types = append(types, typ)
	}
	return types, b.known(types, now)
}

// browseAgain returns the types whose next question is due, what is known of them, and when to call it again (zero:
// after something new).
func (b *book) browseAgain(now time.Time) (types []string, known []dns.RR, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for typ, w := range b.types {
		if !w.next.IsZero() && !now.Before(w.next) {
			types = append(types, typ)
			w.last, w.next = now, time.Time{}
			if w.quiet++; w.quiet < maxQuiet {
				w.next = now.Add(askAgain << (w.quiet - 1))
			}
		}
		if !w.next.IsZero() && (again.IsZero() || w.next.Before(again)) {
			again = w.next
		}
	}
	return types, b.known(types, now), again
}

// known returns the PTR records of these types that have more than half of their life before them. They keep the TTL
// with which they came: a responder is silent for any TTL of at least half of its own, and matter.js for its own only.
func (b *book) known(types []string, now time.Time) (known []dns.RR) {
	if len(types) == 0 {
		return nil
	}
	for _, i := range b.instances {
		if len(known) == maxKnown {
			break
		}
		if i.ptrTTL == 0 || now.Sub(i.ptrAt) >= time.Duration(i.ptrTTL)*time.Second/2 || !slices.Contains(types, i.typ) {
			continue
		}
		header := dns.RR_Header{Name: i.typ + ptrSuffix, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: i.ptrTTL}
		known = append(known, &dns.PTR{Hdr: header, Ptr: i.ptr})
	}
	return known
}

// queries returns the packets of one query for service types. Known answers that the first has no room for follow in
// packets of their own; all but the last are marked as truncated (RFC 6762, 7.2).
func queries(types []string, known []dns.RR) [][]byte {
	if len(types) == 0 {
		return nil
	}
	m := dns.Msg{Compress: true}
	for _, typ := range types {
		m.Question = append(m.Question, question(typ+ptrSuffix, dns.TypePTR))
	}
	var packets [][]byte
	pack := func() {
		if packet, err := m.Pack(); err == nil {
			packets = append(packets, packet)
		}
		m = dns.Msg{Compress: true}
	}
	for len(known) > 0 {
		m.Answer = append(m.Answer, known[0])
		if m.Len() > maxPacket && len(m.Answer) > 1 {
			m.Answer = m.Answer[:len(m.Answer)-1]
			m.Truncated = true
			pack()
			continue
		}
		known = known[1:]
	}
	pack()
	return packets
}
