package discover

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// replies knows who answered the probes, sweep by sweep.
type replies struct {
	limit int
	count func(string)
	house func(keys []string) bool // see Options.House

	mu    sync.Mutex // guards the fields below
	sweep int
	asked bool              // this sweep asks for hidden owners from its beginning
	of    map[string]*reply // by source and weakest key
}

// reply is the newest sighting of one device that answers probes.
type reply struct {
	home.Sighting
	from       uint16 // the port from which it came
	seenIn     int    // the sweep
	reportedIn int
	held       bool         // not yet passed on: see enter
	others     []otherReply // in the order of their addresses
}

// otherReply is where a reply with the same keys came from.
type otherReply struct {
	netip.AddrPort
	seenIn int // the sweep
}

// maxOthers is how many other addresses of one device are kept.
const maxOthers = 4

func newReplies(limit int, count func(string)) *replies {
	return &replies{
		limit: limit, count: count, of: map[string]*reply{}, house: func([]string) bool { return false },
	}
}

func (r *replies) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep++
	r.asked = false
}

// ask notes that this sweep asks, or does not ask, for what devices hide.
func (r *replies) ask(hidden bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = hidden
}

// mayHide reports whether the device may have an owner that it states only in answer to the longer question. Older
// cameras receive a guess at their password: no guess is sent before that question was answered, or had its time.
func mayHide(s home.Sighting) bool { return s.Protocol == home.TapoCam && s.Owner == "" }

// enter takes in a reply. It returns the sighting to be passed on; ok is false where there is none. A device keeps its
// address while it answers there. What claims to be it from elsewhere is passed on as another address, until the old
// one was silent for a whole sweep: which of them speaks the protocol is for its driver to find. All are asked
// directly. A device that may hide its owner is held back until it states one, or until the end of the first sweep that
// asked for it: end.
func (r *replies) enter(s home.Sighting, from uint16) (_ home.Sighting, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := s.Source + " " + s.Keys[len(s.Keys)-1]
	old := r.of[key]
	switch {
	case old == nil && len(r.of) >= r.limit && r.house(s.Keys):
		return s, true // it takes no room: what it hides matters before it is bound only
	case old == nil && len(r.of) >= r.limit:
		r.count("reply beyond limit")
		return s, false
	case old == nil:
		r.of[key] = &reply{Sighting: s, from: from, seenIn: r.sweep, reportedIn: r.sweep, held: mayHide(s)}
		return s, !mayHide(s)
	case old.Addr.Addr() != s.Addr.Addr() && r.sweep-old.seenIn < 2:
		r.count("reply from a second address")
		if !old.heardAt(s.Addr, r.sweep) {
			return s, false
		}
		old.At = s.At // something new is known of the device
		return old.Sighting, !old.held
	}
	same := old.Protocol == s.Protocol && old.Addr.Addr() == s.Addr.Addr()
	if same && s.Owner == "" && old.Owner != "" { // an answer to the shorter question: the port may be hidden, too
		s.Owner, s.Match, s.Extra, s.Addr = old.Owner, old.Match, old.Extra, old.Addr
	}
	s.AlsoAt = old.AlsoAt
	held := mayHide(s) && (old.held || !same)
	again := old.reportedIn == r.sweep && old.Addr == s.Addr && old.Protocol == s.Protocol && old.Match == s.Match &&
		old.Owner == s.Owner &&
		old.Name == s.Name
	*old = reply{s, from, r.sweep, r.sweep, held, old.others}
	old.forgetOthers(r.sweep)
	return old.Sighting, !again && !held
}

// heardAt notes another address, and reports whether it is new.
func (x *reply) heardAt(a netip.AddrPort, sweep int) bool {
	for i := range x.others {
		if x.others[i].AddrPort == a {
			x.others[i].seenIn = sweep
			return false
		}
	}
	if len(x.others) == maxOthers {
		return false
	}
	x.others = append(x.others, otherReply{a, sweep})
	slices.SortFunc(x.others, func(a, b otherReply) int { return a.Compare(b.AddrPort) })
	x.list()
	return true
}

// forgetOthers drops the addresses that were silent for a whole sweep, and the device's own.
func (x *reply) forgetOthers(sweep int) {
	n := len(x.others)
	x.others = slices.DeleteFunc(x.others, func(o otherReply) bool { return sweep-o.seenIn >= 2 || o.AddrPort == x.Addr })
	if len(x.others) != n {
		x.list()
	}
}

func (x *reply) list() {
	x.AlsoAt = nil // the last list was passed on
	for _, o := range x.others {
		x.AlsoAt = append(x.AlsoAt, o.AddrPort)
	}
}

// end returns those who have not answered for long enough, and those who were held back and need no longer be.
func (r *replies) end(now time.Time) []home.Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []home.Sighting
	for key, x := range r.of {
		switch {
		case r.sweep-x.seenIn >= goneAt:
			x.Gone, x.At = true, now.UTC().Round(0)
			all = append(all, x.Sighting)
			delete(r.of, key)
		case x.held && r.asked && x.seenIn == r.sweep:
			x.held = false
			all = append(all, x.Sighting)
		}
	}
	return all
}

// known returns the addresses that answered on this port before: a broadcast is easily lost on a wireless network.
func (r *replies) known(port uint16) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []netip.Addr
	for _, x := range r.of {
		if x.from != port {
			continue
		}
		all = append(all, x.Addr.Addr())
		for _, o := range x.others {
			all = append(all, o.Addr())
		}
	}
	return all
}
