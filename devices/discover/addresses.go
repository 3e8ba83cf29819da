package discover

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// enterAddrs takes in the addresses of hosts that some instance names. Others are of no interest.
func (b *book) enterAddrs(records []record, n *network, index int, now time.Time) {
	flushed := map[*host]uint8{} // families received with the cache-flush bit
	for _, r := range records {
		if r.kind != dns.TypeA && r.kind != dns.TypeAAAA {
			continue
		}
		h := b.hosts[r.name]
		if h == nil {
			continue
		}
		a, ok := n.place(r.addr, index)
		if !ok && (b.targeted == nil || !b.targeted(a)) { // a router may pass on what targets announce
			b.count("mdns address outside the subnets")
			continue
		}
		if r.flush {
			flushed[h] |= family(a)
		}
		b.enterAddr(h, a, r.ttl, now)
	}
	for h, families := range flushed {
		for at := range h.addrs {
			a := &h.addrs[at]
			// an address from another packet of the same answer stays valid for a moment; RFC 6762, 10.2
			if families&family(a.Addr) != 0 && a.doubt.IsZero() && now.Sub(a.last) > time.Second {
				a.doubt = now
				b.doubt(h, now)
			}
		}
	}
}

// family returns the bit of an address family: IPv4, IPv6 of one link, other IPv6.
func family(a netip.Addr) uint8 {
	switch {
	case a.Is4():
		return 1
	case a.IsLinkLocalUnicast():
		return 2 // received on one interface only
	}
	return 4
}

// enterAddr enters an address of a host. A goodbye (TTL 0) only puts the address in doubt: another interface of the
// host may still have it.
func (b *book) enterAddr(h *host, a netip.Addr, ttl uint32, now time.Time) {
	at := slices.IndexFunc(h.addrs, func(x hostAddr) bool { return x.Addr == a })
	switch {
	case at >= 0 && ttl == 0:
		if h.addrs[at].doubt.IsZero() {
			h.addrs[at].doubt = now
			b.doubt(h, now)
		}
	case at >= 0:
		h.addrs[at].last, h.addrs[at].sweep, h.addrs[at].doubt = now, b.sweep, time.Time{}
	case ttl == 0:
	case len(h.addrs) >= maxAddrs:
		b.count("mdns beyond limit")
	default:
		h.addrs = append(h.addrs, hostAddr{Addr: a, last: now, sweep: b.sweep})
		for i := range h.of {
			i.reportedIn = -1
			b.touch(i)
		}
	}
}

// doubt has the host asked for its addresses at once: a host that has the doubted address can still confirm it.
func (b *book) doubt(h *host, now time.Time) {
	h.doubted = true
	h.asking = asking{next: now}
	for i := range h.of {
		b.dirty[i] = struct{}{}
	}
}
