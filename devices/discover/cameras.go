package discover

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Cameras of the NC class answer no UDP probe. Three hints lead to an address where one may be: an announcement under
// the name of a model, a reply to WS-Discovery with a model, and a target that is a single address. At each a request
// without a password is made, which recognises such a camera (devices/PROTOCOLS.md, section 12.4).

// Recognise reports with nil that a camera of the NC class answers at an address, and with home.ErrUnreachable that
// nothing does. It sends no secret.
type Recognise func(context.Context, netip.AddrPort) error

const (
	maxCameras   = 64               // addresses that may have a camera, those of bound devices not counted
	asksAtOnce   = 8                // addresses asked at once
	otherAgain   = 10 * time.Minute // before what is no camera is asked again
	confirmAgain = time.Hour        // before a camera is asked again that takes connections
)

// ncPorts are where these cameras serve their web interface: the generation with TLS first.
var ncPorts = []uint16{443, 80}

// candidate is a hint that a camera may be at an address.
type candidate struct {
	addr  netip.Addr
	ports []uint16 // announced ones
	key   string   // of an announcement; empty for other hints
	name  string
	model string
}

// keys returns the identities of the camera: its announced name, and its address. Its hardware address is known to who
// is signed in only.
func (c candidate) keys() []string {
	own := "nc:" + c.addr.String()
	if c.key == "" {
		return []string{own}
	}
	return []string{c.key, own}
}

// ncCamera is the state of one address.
type ncCamera struct {
	candidate
	at     netip.AddrPort // where it answered; invalid before
	next   time.Time      // not asked before
	missed int            // sweeps in a row without a connection
}

// cameras are the addresses that may have a camera.
type cameras struct {
	house func(keys []string) bool

	mu sync.Mutex // guards of; never held over I/O
	of map[netip.Addr]*ncCamera
}

func newCameras(house func([]string) bool) *cameras {
	if house == nil {
		house = func([]string) bool { return false }
	}
	return &cameras{house: house, of: map[netip.Addr]*ncCamera{}}
}

// offer takes a hint in. Of several announcements for one address that of a bound device counts, else the first.
func (cs *cameras) offer(c candidate) {
	if !c.addr.Is4() {
		return
	}
	bound := cs.house(c.keys())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	old := cs.of[c.addr]
	switch {
	case old == nil && len(cs.of) >= maxCameras && !bound:
	case old == nil:
		cs.of[c.addr] = &ncCamera{candidate: c}
	case old.key == "" || c.key != "" && bound:
		c.model = cmp.Or(c.model, old.model)
		old.candidate = c
	default:
		old.model = cmp.Or(old.model, c.model)
	}
}

// offerAnnounced takes in the announcements of cameras under a model's name.
func (cs *cameras) offerAnnounced(list []home.Sighting) {
	for _, s := range list {
		if s.Source != "mdns" || s.Gone || s.Kind != home.Camera || ncModel(s.Model) == "" {
			continue
		}
		key := s.Keys[len(s.Keys)-1]
		cs.offer(candidate{
			addr: s.Addr.Addr(), ports: []uint16{s.Addr.Port()}, key: key, name: s.Name, model: s.Model,
		})
	}
}

// list returns copies of all, those of bound devices first.
func (cs *cameras) list() []ncCamera {
	var bound, others []ncCamera
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.of {
		if cs.house(c.keys()) {
			bound = append(bound, *c)
		} else {
			others = append(others, *c)
		}
	}
	return append(bound, others...)
}

// findCameras searches by WS-Discovery for a window, and then asks for another at every address of a hint.
func (r *run) findCameras(ctx context.Context, n *network) {
	r.search(ctx, n)
	for _, a := range r.targets.single() {
		r.cameras.offer(candidate{addr: a})
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Pace.Window)
	defer cancel()
	free := make(chan struct{}, asksAtOnce)
	var asked sync.WaitGroup
	for _, c := range r.cameras.list() {
		select {
		case <-ctx.Done():
		case free <- struct{}{}:
			asked.Go(func() {
				defer func() { <-free }()
				r.askCamera(ctx, c)
			})
		}
	}
	asked.Wait()
}

// askCamera asks at one address, and reports a camera that is there, or has left.
func (r *run) askCamera(ctx context.Context, c ncCamera) {
	now := time.Now()
	if !c.at.IsValid() && now.Before(c.next) {
		return // something else answered there
	}
	c.missed++
	switch {
	case c.at.IsValid() && now.Before(c.next):
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "tcp4", c.at.String()); err == nil {
			_ = conn.Close()
			c.missed = 0
		}
	case !now.Before(c.next):
		r.recognise(ctx, &c)
	}
	if ctx.Err() != nil {
		return // an interrupted sweep is no evidence of absence
	}
	gone := c.at.IsValid() && c.missed >= goneAt
	s := home.Sighting{
		Source: "nc-http", Protocol: home.NC, Keys: c.keys(), Name: c.name, Model: c.model, Kind: home.Camera,
		Addr: c.at, Addrs: []netip.Addr{c.addr}, Match: home.Unknown, Gone: gone, At: now.UTC().Round(0),
	}
	if c.at.IsValid() && (c.missed == 0 || gone) {
		r.out.put([]home.Sighting{s})
	}
	r.cameras.mu.Lock()
	defer r.cameras.mu.Unlock()
	if old := r.cameras.of[c.addr]; old != nil {
		c.candidate = old.candidate // a newer hint may have come meanwhile
		*old = c
		if c.missed >= goneAt {
			delete(r.cameras.of, c.addr) // it returns with the next hint
		}
	}
}

// recognise asks at the ports of an address until a camera answers at one.
func (r *run) recognise(ctx context.Context, c *ncCamera) {
	ports := slices.Concat(ncPorts, slices.DeleteFunc(slices.Clone(c.ports), func(p uint16) bool {
		return slices.Contains(ncPorts, p)
	}))
	answered := false
	for _, port := range ports {
		at := netip.AddrPortFrom(c.addr, port)
		err := r.o.Recognise(ctx, at)
		if err == nil {
			c.at, c.missed, c.next = at, 0, time.Now().Add(confirmAgain)
			return
		}
		answered = answered || !errors.Is(err, home.ErrUnreachable)
	}
	if answered {
		c.missed, c.next = 0, time.Now().Add(otherAgain)
		c.at = netip.AddrPort{}
	}
}
