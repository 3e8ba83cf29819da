// Package devices joins sightings on the LAN to the devices that they are of.
package devices

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Roster joins sightings to devices. It is safe for use by several goroutines.
//
// Two sightings that share a key are one device. That is decided by the set of all sightings alone, whatever their
// order was: each key belongs to the strongest key that it was seen with. One that was seen with two strong keys
// which nothing else joins (one sighting is false, or a device took over a name) is disputed and joins neither.
//
// Two devices without a common key are one when they share an address, and one of them was only announced while the
// other answers a protocol; but only where there is exactly one of each at that address, and their kinds agree.
//
// A device keeps its address while it answers there: an announcement with its key and another address takes over only
// after the older one was not sighted for Hold. Until then the rest of that announcement is ignored, too. The device's
// own handshake decides in the end: see Spoke.
type Roster struct {
	mu    sync.Mutex // guards everything below
	keys  map[string]*key
	faces map[string]*face               // by source and keys
	bytes int                            // of the texts in faces
	gone  map[string]time.Time           // last goodbyes, by source and weakest key
	at    map[netip.Addr]map[string]bool // address to the roots of devices that are there
	devs  map[string]*device             // by root key
	ids   map[home.DeviceID]string       // to a key of the device
	shown map[string]shown               // by the root of what was reported
	spoke map[string]netip.AddrPort      // by root: where the device spoke its protocol
	bound bound
	swept time.Time // when room was last made
}

// Hold is how long an address holds against another one that claims the same key: three sweeps.
const Hold = 3 * time.Minute

// maxParents is how many different strong keys one key is remembered with; with more it is disputed in any case.
const maxParents = 8

// key is one identity, as home.Sighting.Keys has them.
type key struct {
	parents map[string]bool // the strongest keys of the sightings that it was in
	faces   map[string]bool // whose sightings it was in
	root    string          // the strongest key of its device; empty while it is disputed
}

// face is the newest sighting of one source under one set of keys: an announced service, a device as it answers a
// probe, a record from disk.
type face struct {
	home.Sighting           // the newest; its At is zero while only a goodbye came
	first         time.Time // when it was first seen
}

// device is a group of faces that are one device, under its strongest key.
type device struct {
	root   string
	keys   []string
	faces  []string
	addrs  []netip.Addr // of those faces that are here
	spoken bool         // its protocol is known: it is more than announced
}

// shown is a device as it was last reported.
type shown struct {
	home.Device
	here bool
}

// NewRoster returns an empty roster.
func NewRoster() *Roster {
	return &Roster{
		keys: map[string]*key{}, faces: map[string]*face{}, gone: map[string]time.Time{},
		at:   map[netip.Addr]map[string]bool{},
		devs: map[string]*device{}, ids: map[home.DeviceID]string{}, shown: map[string]shown{},
		spoke: map[string]netip.AddrPort{},
	}
}

// onDisk is the source of the record of a bound device.
const onDisk = "disk"

// See takes sightings in and returns the devices that are new or have changed: in what is known of them, in having
// left, or in being back. That a device was merely seen again is no change.
func (r *Roster) See(list []home.Sighting) []home.Device {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.see(list)
}

// see is See with r.mu held.
func (r *Roster) see(list []home.Sighting) []home.Device {
	touched := map[string]bool{} // keys
	for _, s := range list {
		s.Keys = cleanKeys(s.Keys)
		if len(s.Keys) > 0 && r.room(s, touched) {
			r.note(s, touched)
		}
	}
	roots := map[string]bool{}
	for _, group := range r.groups(touched) {
		r.rebuild(group, roots)
	}
	return r.report(roots)
}

func faceName(s home.Sighting) string { return s.Source + " " + strings.Join(s.Keys, " ") }

// bye is the name under which a goodbye counts: also for the same announcement under other keys before.
func bye(s home.Sighting) string { return s.Source + " " + s.Keys[len(s.Keys)-1] }

// note files one sighting.
func (r *Roster) note(s home.Sighting, touched map[string]bool) {
	name := faceName(s)
	f := r.faces[name]
	if f == nil {
		f = &face{Sighting: s, first: s.At}
		if s.Gone { // a goodbye has no other content that counts
			f.Sighting = home.Sighting{Source: s.Source, Keys: s.Keys}
		}
		r.faces[name] = f
	} else {
		r.bytes -= size(f.Sighting)
	}
	f.take(s)
	r.bytes += size(f.Sighting)
	if s.Gone && s.At.After(r.gone[bye(s)]) {
		r.gone[bye(s)] = s.At
	}
	for _, k := range s.Keys {
		x := r.keys[k]
		if x == nil {
			x = &key{parents: map[string]bool{}, faces: map[string]bool{}}
			r.keys[k] = x
			r.ids[idOf(k)] = k
		}
		x.faces[name] = true
		if k != s.Keys[0] && len(x.parents) <= maxParents {
			x.parents[s.Keys[0]] = true
		}
		touched[k] = true
	}
}

// take keeps the newest sighting of the face, in whatever order sightings arrive.
func (f *face) take(s home.Sighting) {
	if s.At.Before(f.first) {
		f.first = s.At
	}
	if !s.Gone && (s.At.After(f.At) || s.At.Equal(f.At) && compareSightings(s, f.Sighting) < 0) {
		f.Sighting = s
	}
}

// here reports whether the face was sighted, without a goodbye since.
func (r *Roster) here(f *face) bool { return f.Source != onDisk && f.At.After(r.gone[bye(f.Sighting)]) }
