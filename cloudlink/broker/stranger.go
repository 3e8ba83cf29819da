package broker

import (
	"net/netip"
	"sync"
	"time"
)

// Connects of clients without an account. One that enrols needs a few; a member is not counted.
const (
	strangerEvery    = time.Second // between the connects of one address
	strangerConnects = 60          // that need no pause
	maxStrangers     = 4096        // addresses that are remembered
)

// strangers limits how often clients without an account connect from one address: the name of each costs its owner
// nothing. An IPv6 network of 64 bits is one address.
type strangers struct {
	mu   sync.Mutex // guards paid
	paid map[netip.Prefix]time.Time
}

// admit counts a connect from an address, and returns whether it is within the limit.
func (s *strangers) admit(remote string, now time.Time) bool {
	from := network(remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	paid := s.paid[from]
	if first := now.Add(-strangerConnects * strangerEvery); paid.Before(first) {
		paid = first
	}
	if paid = paid.Add(strangerEvery); paid.After(now) {
		return false
	}
	if s.paid == nil {
		s.paid = map[netip.Prefix]time.Time{}
	}
	if _, known := s.paid[from]; !known && len(s.paid) >= maxStrangers && !s.shrink(now) {
		return false
	}
	s.paid[from] = paid
	return true
}

// shrink forgets addresses that have their whole burst again, and returns whether there is room.
func (s *strangers) shrink(now time.Time) bool {
	for from, paid := range s.paid {
		if now.Sub(paid) >= strangerConnects*strangerEvery {
			delete(s.paid, from)
		}
	}
	return len(s.paid) < maxStrangers
}

// network returns the address, or the IPv6 network, of host:port; the zero Prefix for anything else.
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits) // cannot fail: the bits fit the address
	return p
}
