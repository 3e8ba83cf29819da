package discover

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// network is the allowed interfaces as they were at one time. It never changes.
type network struct {
	interfaces []net.Interface
	names      map[int]string // by index
	prefixes   []prefix
}

// prefix is a subnet, with the index of the interface on which it is.
type prefix struct {
	netip.Prefix
	index int
}

// look returns the allowed interfaces that are up, with their subnets.
func look(at Interfaces) (*network, error) {
	all, err := at.Up()
	if err != nil {
		return nil, err
	}
	n := &network{names: map[int]string{}}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || len(addrs) == 0 {
			continue // gone meanwhile, or not of use yet
		}
		n.interfaces = append(n.interfaces, i)
		n.names[i.Index] = i.Name
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				return nil, fmt.Errorf("address of interface %s: %w", i.Name, err)
			}
			n.prefixes = append(n.prefixes, prefix{p, i.Index})
		}
	}
	slices.SortFunc(n.interfaces, func(a, b net.Interface) int { return a.Index - b.Index })
	return n, nil
}

func (n *network) empty() bool { return n == nil || len(n.interfaces) == 0 }

// same reports whether no interface came, went, or changed its address between n and m.
func (n *network) same(m *network) bool {
	if n == nil || m == nil {
		return n == m
	}
	sameInterface := func(a, b net.Interface) bool { return a.Index == b.Index && a.Name == b.Name }
	return slices.EqualFunc(n.interfaces, m.interfaces, sameInterface) && slices.Equal(n.prefixes, m.prefixes)
}

func (n *network) allows(index int) bool { _, ok := n.names[index]; return ok }

// place returns a as it can be dialled when it was received on the interface of this index, and whether it lies in the
// subnet of an allowed interface at all. A link-local IPv6 address gets its zone.
func (n *network) place(a netip.Addr, index int) (netip.Addr, bool) {
	a = a.Unmap().WithZone("")
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(n.names[index]), n.allows(index)
	}
	if a.IsMulticast() || a.IsUnspecified() {
		return a, false
	}
	return a, slices.ContainsFunc(n.prefixes, func(p prefix) bool { return p.Contains(a) && a != broadcast(p.Prefix) })
}

// broadcast returns the directed broadcast address of an IPv4 subnet; it is invalid where there is none.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}
