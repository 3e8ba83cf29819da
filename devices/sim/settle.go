package sim

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// settle checks specs and gives every device a name of its own. It returns what is left of addresses for those that
// chose none.
func settle(base netip.Addr, specs []Spec) ([]Spec, *addresses, error) {
	if len(specs) == 0 || len(specs) > maxDevices {
		return nil, nil, fmt.Errorf("simulate: %d devices: want 1 to %d", len(specs), maxDevices)
	}
	out := make([]Spec, len(specs))
	names, addrs := map[string]int{}, map[netip.Addr]int{}
	var errs []error
	wrong := func(i int, err error) {
		errs = append(errs, fmt.Errorf("simulate: device %d: %w", i+1, err))
	}
	for i, s := range specs {
		if err := s.check(); err != nil {
			wrong(i, err)
		}
		if other, twice := names[s.Name]; twice && s.Name != "" {
			wrong(i, fmt.Errorf("field %q: %q is also the name of device %d", "name", s.Name, other+1))
		}
		if other, twice := addrs[s.Addr]; twice && s.Addr.IsValid() {
			wrong(i, fmt.Errorf("field %q: %s is also the address of device %d", "addr", s.Addr, other+1))
		}
		names[s.Name], addrs[s.Addr] = i, i
		out[i] = s
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	count := map[home.Kind]int{}
	for i := range out {
		s := &out[i]
		for s.Name == "" {
			count[s.Kind]++
			name := fmt.Sprintf("%s-%d", s.Kind, count[s.Kind])
			if _, has := names[name]; !has {
				s.Name = name
			}
		}
	}
	return out, &addresses{next: base, chosen: addrs}, nil
}

// maxTaken is how many addresses a house passes over that others of this machine have. Where something listens at all
// addresses, there is none to be found.
const maxTaken = maxDevices

// addresses are given out from next on, in order, so that the same house has the same addresses every time.
type addresses struct {
	next   netip.Addr
	chosen map[netip.Addr]int // by specs
	taken  int                // by others of this machine
}

// take returns the next free address.
func (a *addresses) take() (netip.Addr, error) {
	for a.next.IsLoopback() {
		at := a.next
		a.next = at.Next()
		if _, chosen := a.chosen[at]; !chosen && !edge(at) {
			return at, nil
		}
	}
	return netip.Addr{}, errors.New("there are no addresses left in 127.0.0.0/8")
}

// edge reports whether a person would take a for a network's own address or its broadcast address.
func edge(a netip.Addr) bool { last := a.As4()[3]; return last == 0 || last == 255 }
