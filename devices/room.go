package devices

import (
	"maps"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Bounds of the roster. Any host on the LAN can announce anything, so both are reached in a flood.
const (
	maxFaces    = 8192    // twice what a discovery keeps at once
	maxBytes    = 4 << 20 // of the texts in all of them: half a kilobyte each
	maxKeyFaces = 256     // of one key: a device has a few
)

// size returns how many bytes of text a sighting holds.
func size(s home.Sighting) int {
	n := len(s.Name) + len(s.Model) + len(s.Owner) + len(s.Extra) + len(s.Source)
	for _, k := range s.Keys {
		n += len(k)
	}
	return n
}

// room reports whether there is room for s, and makes some where there is none. In a full roster only bound devices
// find room: the faces of others that were not sighted for the longest time make way.
func (r *Roster) room(s home.Sighting, touched map[string]bool) bool {
	if _, known := r.faces[faceName(s)]; known {
		return true
	}
	for _, k := range s.Keys {
		if x := r.keys[k]; x != nil && len(x.faces) >= maxKeyFaces {
			r.forgetOldest(slices.Collect(maps.Keys(x.faces)), maxKeyFaces/8, touched)
		}
	}
	if !r.full() {
		return true
	}
	if r.isOfHouse(s.Keys) {
		r.makeRoom(touched)
		return true
	}
	if s.At.Sub(r.swept).Abs() < time.Minute {
		return false
	}
	r.swept = s.At
	for name, f := range r.faces {
		if f.Source != onDisk && !r.here(f) {
			r.forget(name, f, touched)
		}
	}
	return !r.full()
}

func (r *Roster) full() bool { return len(r.faces) >= maxFaces || r.bytes >= maxBytes }

// OfHouse reports whether one of the keys is that of a bound device.
func (r *Roster) OfHouse(keys []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isOfHouse(keys)
}

// isOfHouse is OfHouse with r.mu held.
func (r *Roster) isOfHouse(keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return r.bound.owner[k] != "" })
}

// makeRoom forgets faces of devices that are not bound. Where there are none, faces that claim to be a bound device
// make way.
func (r *Roster) makeRoom(touched map[string]bool) {
	var others []string
	for name, f := range r.faces {
		if !r.isOfHouse(f.Keys) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		others = slices.Collect(maps.Keys(r.faces))
	}
	r.forgetOldest(others, len(r.faces)/8+1, touched)
}

// forgetOldest forgets n of the faces of these names, those that were not sighted for the longest time. Records from
// the disk are kept.
func (r *Roster) forgetOldest(names []string, n int, touched map[string]bool) {
	names = slices.DeleteFunc(names, func(name string) bool { return r.faces[name].Source == onDisk })
	slices.SortFunc(names, func(a, b string) int { return r.faces[a].At.Compare(r.faces[b].At) })
	for _, name := range names[:min(n, len(names))] {
		r.forget(name, r.faces[name], touched)
	}
}

// forget removes a face, and its goodbye.
func (r *Roster) forget(name string, f *face, touched map[string]bool) {
	delete(r.faces, name)
	r.bytes -= size(f.Sighting)
	delete(r.gone, bye(f.Sighting))
	for _, k := range f.Keys {
		delete(r.keys[k].faces, name)
		touched[k] = true
	}
}
