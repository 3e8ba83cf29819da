package devices

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// place enters d in the table of addresses, or takes it out, and adds to roots it and all that share an address with
// it.
func (r *Roster) place(d *device, roots map[string]bool, in bool) {
	roots[d.root] = true
	for _, a := range d.addrs {
		if len(r.at[a]) <= 3 { // where more are, none has a partner, before or after
			for root := range r.at[a] {
				roots[root] = true
			}
		}
		if in {
			if r.at[a] == nil {
				r.at[a] = map[string]bool{}
			}
			r.at[a][d.root] = true
			continue
		}
		delete(r.at[a], d.root)
		if len(r.at[a]) == 0 {
			delete(r.at, a)
		}
	}
}

// partner returns the one device that is d seen another way, or nil: see Roster.
func (r *Roster) partner(d *device) *device {
	p := r.neighbour(d)
	if p == nil || r.neighbour(p) != d {
		return nil
	}
	k, q := r.kind(d), r.kind(p)
	if k != q && k != home.Other && q != home.Other {
		return nil
	}
	return p
}

// neighbour returns the only other device at all of d's addresses, where one of the two was merely announced.
func (r *Roster) neighbour(d *device) *device {
	var p *device
	for _, a := range d.addrs {
		switch n := len(r.at[a]); {
		case n == 1:
			continue
		case n > 2:
			return nil
		}
		for root := range r.at[a] {
			x := r.devs[root]
			if x == d {
				continue
			}
			if p != nil && p != x || x.spoken == d.spoken {
				return nil
			}
			p = x
		}
	}
	return p
}

// kind returns the kind of the first face that shows one, home.Other where none does.
func (r *Roster) kind(d *device) home.Kind {
	for _, f := range r.ranked(d) {
		if f.Kind != "" && f.Kind != home.Other {
			return f.Kind
		}
	}
	return home.Other
}

// ranked returns the faces of a device in the order of precedence: present ones before those that left, faces with a
// protocol before mere announcements, the address on disk before others, older ones before newer ones.
func (r *Roster) ranked(ds ...*device) []*face {
	var all []*face
	var newest time.Time
	var disk home.Sighting // the newest record
	for _, d := range ds {
		for _, name := range d.faces {
			f := r.faces[name]
			all = append(all, f)
			if f.Source == onDisk {
				if !disk.Addr.IsValid() || f.At.After(disk.At) {
					disk = f.Sighting
				}
			} else if f.At.After(newest) {
				newest = f.At
			}
		}
	}
	live := func(f *face) bool { return r.here(f) && newest.Sub(f.At) <= Hold }
	slices.SortFunc(all, func(a, b *face) int {
		c := cmp.Or(
			falseFirst(a.Source == onDisk, b.Source == onDisk),
			falseFirst(!live(a), !live(b)),
			falseFirst(a.Protocol == "", b.Protocol == ""),
		)
		if c == 0 && live(a) {
			c = cmp.Or(falseFirst(a.Addr != disk.Addr, b.Addr != disk.Addr), a.first.Compare(b.first))
		}
		return cmp.Or(c, b.At.Compare(a.At), compareSightings(a.Sighting, b.Sighting))
	})
	return all
}

// falseFirst orders false before true.
func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// view returns the device as it is shown, and whether it is here.
func (r *Roster) view(ds ...*device) shown {
	v := shown{Device: home.Device{Kind: home.Other}}
	for _, d := range ds {
		v.Keys = append(v.Keys, d.keys...)
	}
	slices.SortFunc(v.Keys, compareKeys)
	v.ID = r.idOf(v.Keys, ds)
	for _, f := range r.ranked(ds...) {
		v.here = v.here || r.here(f)
		if v.Protocol == "" && f.Protocol != "" || !v.Addr.IsValid() {
			v.Protocol, v.Addr = f.Protocol, f.Addr // the port is the protocol's
		}
		v.Name, v.Model = cmp.Or(v.Name, f.Name), cmp.Or(v.Model, f.Model)
		v.Owner, v.Extra = cmp.Or(v.Owner, f.Owner), cmp.Or(v.Extra, f.Extra)
		if v.Kind == home.Other && f.Kind != "" {
			v.Kind = f.Kind
		}
		if f.At.After(v.Seen) {
			v.Seen = f.At
		}
	}
	v.Addr, v.AlsoAt = r.addresses(v.Device, ds)
	v.Name = cmp.Or(v.Name, madeUp(v.Model, v.Keys), string(v.ID))
	return v
}

// madeUp returns a name for a device with a known model and no name: "P110-01a2", with the end of its hardware address.
func madeUp(model string, keys []string) string {
	model, _, _ = strings.Cut(model, "(")
	for _, k := range keys {
		if mac, ok := strings.CutPrefix(k, "mac:"); ok && len(mac) == 12 && model != "" {
			return strings.TrimSpace(model) + "-" + mac[8:]
		}
	}
	return ""
}

// whole returns the devices that are shown as one with that of this root, the one whose root it is shown under first.
func (r *Roster) whole(root string) []*device {
	d := r.devs[root]
	if d == nil {
		return nil
	}
	p := r.partner(d)
	switch {
	case p == nil:
		return []*device{d}
	case d.spoken:
		return []*device{d, p}
	}
	return []*device{p, d}
}

// report returns the devices of these roots that have changed since they were last reported.
func (r *Roster) report(roots map[string]bool) []home.Device {
	near := map[string]bool{}
	for root := range roots { // whom a neighbour is joined with depends on that one's neighbours
		near[root] = true
		if d := r.devs[root]; d != nil {
			for _, a := range d.addrs {
				if len(r.at[a]) <= 3 {
					maps.Copy(near, r.at[a])
				}
			}
		}
	}
	changed := map[string]home.Device{}
	for root := range near {
		ds := r.whole(root)
		if len(ds) == 0 || ds[0].root != root {
			delete(r.shown, root)
		}
		if len(ds) == 0 {
			continue
		}
		root = ds[0].root
		v := r.view(ds...)
		if old, ok := r.shown[root]; !ok || !same(old, v) {
			changed[root] = v.Device
		}
		r.shown[root] = v
	}
	out := make([]home.Device, 0, len(changed))
	for _, d := range changed {
		out = append(out, d)
	}
	return sorted(out)
}

func same(a, b shown) bool {
	return a.here == b.here && a.ID == b.ID && a.Name == b.Name && a.Kind == b.Kind && a.Protocol == b.Protocol &&
		a.Model == b.Model && a.Addr == b.Addr && a.Owner == b.Owner &&
		slices.Equal(a.AlsoAt, b.AlsoAt) && slices.Equal(a.Keys, b.Keys)
}

// Devices returns all devices, those that left included, in the order of their IDs.
func (r *Roster) Devices() []home.Device {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]home.Device, 0, len(r.devs))
	for root := range r.devs {
		if ds := r.whole(root); ds[0].root == root {
			out = append(out, r.view(ds...).Device)
		}
	}
	return sorted(out)
}

// Device returns the device of this ID. The names of its other keys lead to it, too: the returned device has the ID
// that counts.
func (r *Roster) Device(id home.DeviceID) (home.Device, bool) {
	v, ok := r.find(id)
	return v.Device, ok
}

// Here reports whether the device was sighted, without a goodbye or a long absence since.
func (r *Roster) Here(id home.DeviceID) bool {
	v, ok := r.find(id)
	return ok && v.here
}

// find returns the device of an ID, by any of its keys.
func (r *Roster) find(id home.DeviceID) (shown, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ds := r.whole(r.rootOfID(id))
	if len(ds) == 0 {
		return shown{}, false
	}
	return r.view(ds...), true
}

// rootOfID returns the root of the device of this ID, empty where there is none; r.mu is held.
func (r *Roster) rootOfID(id home.DeviceID) string {
	root := r.holder(id)
	if k := r.keys[r.ids[id]]; root == "" && k != nil {
		root = k.root
	}
	return root
}

func sorted(list []home.Device) []home.Device {
	slices.SortFunc(list, func(a, b home.Device) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// compareSightings is an order that depends on the contents of the sightings only.
func compareSightings(a, b home.Sighting) int {
	return cmp.Or(
		a.Addr.Compare(b.Addr), slices.CompareFunc(a.Addrs, b.Addrs, netip.Addr.Compare),
		slices.CompareFunc(a.AlsoAt, b.AlsoAt, netip.AddrPort.Compare),
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.Protocol, b.Protocol), slices.Compare(a.Keys, b.Keys),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Model, b.Model),
	)
}
