package devices

import (
	"net/netip"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// maxSpoke is how many addresses are remembered; beyond it those of bound devices only.
const maxSpoke = 4096

// maxOthers is how many other addresses of one device are shown.
const maxOthers = 4

// Spoke records that the device spoke its protocol at one of its addresses. From then on it is shown there while it is
// sighted there at all, also where other hosts reply with its keys: an extender relays what devices reply, and anyone
// can reply with one socket.
func (r *Roster) Spoke(id home.DeviceID, at netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ds := r.whole(r.rootOfID(id))
	if len(ds) == 0 {
		return
	}
	if len(r.spoke) >= maxSpoke {
		for root := range r.spoke { // each comes back with its device's next failure
			if d := r.devs[root]; d == nil || !r.isOfHouse(d.keys) {
				delete(r.spoke, root)
			}
		}
	}
	r.spoke[ds[0].root] = at
	r.report(map[string]bool{ds[0].root: true})
}

// addresses returns the address at which a driver reaches d, and the other addresses of its live sightings of the same
// protocol. The address where it spoke comes first, then that of its record on disk, then the one that is shown anyway.
func (r *Roster) addresses(d home.Device, ds []*device) (first netip.AddrPort, others []netip.AddrPort) {
	first = d.Addr
	if d.Protocol == "" || !first.IsValid() {
		return first, nil
	}
	var disk netip.AddrPort
	for _, one := range ds {
		for _, name := range one.faces {
			f := r.faces[name]
			switch {
			case f.Protocol != d.Protocol:
			case f.Source == onDisk:
				disk = f.Addr
			case r.here(f):
				others = append(others, f.AlsoAt...)
				if f.Addr.Port() == first.Port() {
					others = append(others, f.Addr)
				}
			}
		}
	}
	for _, better := range []netip.AddrPort{r.spoke[ds[0].root], disk} {
		if better.IsValid() && slices.Contains(others, better) {
			others = append(others, first)
			first = better
			break
		}
	}
	slices.SortFunc(others, netip.AddrPort.Compare)
	others = slices.DeleteFunc(slices.Compact(others), func(a netip.AddrPort) bool { return a == first })
	return first, others[:min(len(others), maxOthers)]
}
