package discover

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// How patient the book is.
const (
	settle     = 50 * time.Millisecond // the rest of an answer may be in the next packet
	askAgain   = time.Second           // doubled with every try; RFC 6762, 5.2 requires at least this
	maxAsks    = 5                     // a sweep
	doubtFor   = 2 * time.Second       // an address that an answer left out can be received again within this time
	suspectAt  = 2                     // missed sweeps after which an instance is asked for by name
	goneAt     = 4                     // missed sweeps after which it is gone, unless its TTL is longer
	maxAddrs   = 16                    // of one host
	longestTTL = 75 * time.Minute      // RFC 6762's own for records that name no host
)

// book assembles service instances from records that come in any order over many packets, and knows what is still
// missing. It does no I/O and takes the time from its caller. Everything in it is bounded.
type book struct {
	limit    int
	count    func(what string)
	targeted func(netip.Addr) bool    // the owner named the address; nil for none
	house    func(keys []string) bool // see Options.House

	mu        sync.Mutex
	sweep     int
	instances map[string]*instance // by name, lower case, escaped
	hosts     map[string]*host
	types     map[string]*browsing // by "_hap._tcp"
	dirty     map[*instance]struct{}
	goodbyes  []home.Sighting // not yet reported
}

// instance is one announced service, with the records that are known of it.
type instance struct {
	name, raw  string // raw as it came
	typ        string // "_hap._tcp"
	host       string // lower case; empty until a SRV came
	port       uint16
	txt        []string
	hasTXT     bool
	ptr        string    // the name in the last PTR record, as it came
	ptrTTL     uint32    // of that record, seconds; 0 while none came
	ptrAt      time.Time // when it came
	seenIn     int       // the sweep in which PTR or SRV were last received
	missed     int       // sweeps in a row
	expires    time.Time // when the TTL of the last PTR or SRV ends
	asking     asking
	reported   bool
	reportedIn int // the sweep in which it was last reported
}

// host is the target of SRV records, with its addresses.
type host struct {
	raw     string
	addrs   []hostAddr // in the order of their arrival
	of      map[*instance]struct{}
	asking  asking
	doubted bool // one of its addrs is
}

// hostAddr is one address of a host, with what decides how long it is believed.
type hostAddr struct {
	netip.Addr
	last  time.Time
	sweep int
	doubt time.Time // since when an answer left it out; zero when none did
}

// asking paces the questions for one thing.
type asking struct {
	tries int
	next  time.Time
}

func (a *asking) due(now time.Time) bool {
	if a.tries == 0 && a.next.IsZero() {
		a.next = now.Add(settle)
	}
	return a.tries < maxAsks && !now.Before(a.next)
}

func (a *asking) asked(now time.Time) {
	a.next = now.Add(askAgain << a.tries)
	a.tries++
}

// newBook returns an empty book. count receives the reason for each record that is dropped.
func newBook(limit int, count func(string)) *book {
	return &book{
		limit: limit, count: count, house: func([]string) bool { return false },
		instances: map[string]*instance{}, hosts: map[string]*host{}, types: map[string]*browsing{},
		dirty: map[*instance]struct{}{},
	}
}

// split returns the type of an instance of a type in the table: "_hap._tcp" of "x._hap._tcp.local.".
func split(name string) (typ string, ok bool) {
	rest, ok := strings.CutSuffix(name, ".local.")
	if !ok {
		return "", false
	}
	rest, proto, _ := cutLast(rest, ".")
	_, service, ok := cutLast(rest, "._")
	typ = "_" + service + "." + proto
	return typ, ok && serviceTypes[typ] != nil
}

// enter takes in the records of one packet, received on the interface of n with this index.
func (b *book) enter(records []record, n *network, index int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, kind := range []uint16{dns.TypePTR, dns.TypeSRV, dns.TypeTXT} {
		for _, r := range records {
			if r.kind == kind {
				b.enterService(r, now)
			}
		}
	}
	b.enterAddrs(records, n, index, now)
}

// hint enters an instance that may exist: the completer asks for its records by name.
func (b *book) hint(name string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instance(name, now)
}

// instance returns the instance of this name, made where it is new; nil for one of no interest, or one too many.
func (b *book) instance(raw string, now time.Time) *instance {
	name := strings.ToLower(raw)
	if i := b.instances[name]; i != nil {
		return i
	}
	typ, ok := split(name)
	if !ok {
		return nil
	}
	if len(b.instances) >= b.limit && !b.house([]string{instanceKey(raw, typ)}) {
		b.count("mdns beyond limit")
		return nil
	}
	i := &instance{name: name, raw: raw, typ: typ, reportedIn: -1, seenIn: b.sweep}
	b.instances[name] = i
	b.dirty[i] = struct{}{}
	b.news(typ, now)
	return i
}

// instanceKey returns the key of an instance by its name as it came.
func instanceKey(raw, typ string) string {
	label := raw[:len(raw)-len("."+typ+".local.")]
	return mdnsKey(unescape(label), typ)
}

// enterService enters a PTR, SRV or TXT record. A goodbye of PTR or SRV removes the instance.
func (b *book) enterService(r record, now time.Time) {
	name := r.raw
	if r.kind == dns.TypePTR {
		name = r.to
	}
	if r.ttl == 0 {
		if i := b.instances[strings.ToLower(name)]; i != nil && r.kind != dns.TypeTXT {
			b.drop(i, now)
		}
		return
	}
	i := b.instance(name, now)
	if i == nil {
		return
	}
	switch r.kind {
	case dns.TypePTR:
		i.refresh(b.sweep, r.ttl, now, i.host == "")
		i.ptr, i.ptrTTL, i.ptrAt = r.to, r.ttl, now
	case dns.TypeSRV:
		i.refresh(b.sweep, r.ttl, now, true)
		if to := strings.ToLower(r.to); to != i.host || r.port != i.port {
			b.unlink(i)
			i.host, i.port, i.reportedIn = to, r.port, -1
			b.link(i, r.to)
		}
	case dns.TypeTXT:
		if txt := short(r.txt); !i.hasTXT || !slices.Equal(i.txt, txt) {
			i.hasTXT, i.txt, i.reportedIn = true, txt, -1
		}
	}
	b.touch(i)
}

// maxTXT is how many bytes of a TXT record are kept: RFC 6763, 6.2, has none longer than 1300.
const maxTXT = 1300

// short cuts a TXT record at maxTXT bytes.
func short(txt []string) []string {
	n := 0
	for i, s := range txt {
		if n += len(s); n > maxTXT {
			return slices.Clone(txt[:i])
		}
	}
	return txt
}

// touch has the instance looked at: it may be complete, or miss something.
func (b *book) touch(i *instance) {
	if i.reportedIn != b.sweep || !i.complete(b) {
		b.dirty[i] = struct{}{}
	}
}

// refresh records that the instance was announced in this sweep. Its lifetime is that of its SRV record (lasts), before
// one is known that of its PTR record.
func (i *instance) refresh(sweep int, ttl uint32, now time.Time, lasts bool) {
	if i.seenIn != sweep {
		i.asking = asking{}
	}
	i.seenIn, i.missed = sweep, 0
	if lasts {
		i.expires = now.Add(min(time.Duration(ttl)*time.Second, longestTTL))
	}
}

// link adds the instance to its host.
func (b *book) link(i *instance, raw string) {
	h := b.hosts[i.host]
	if h == nil {
		h = &host{raw: raw, of: map[*instance]struct{}{}}
		b.hosts[i.host] = h
	}
	h.of[i] = struct{}{}
}

// unlink removes the instance from its host, and a host without instances from the book.
func (b *book) unlink(i *instance) {
	if h := b.hosts[i.host]; h != nil {
		delete(h.of, i)
		if len(h.of) == 0 {
			delete(b.hosts, i.host)
		}
	}
}

// drop forgets an instance, and reports its goodbye where it was reported before.
func (b *book) drop(i *instance, now time.Time) {
	if s, ok := b.sighting(i, now); ok && i.reported {
		s.Gone = true
		b.goodbyes = append(b.goodbyes, s)
	}
	b.unlink(i)
	delete(b.instances, i.name)
	delete(b.dirty, i)
}

func (i *instance) complete(b *book) bool {
	h := b.hosts[i.host]
	return h != nil && len(h.addrs) > 0 && i.hasTXT
}

// sighting returns the sighting of an instance; false while records are missing.
func (b *book) sighting(i *instance, now time.Time) (home.Sighting, bool) {
	h := b.hosts[i.host]
	if h == nil || len(h.addrs) == 0 || (!i.hasTXT && i.asking.tries < 3) {
		return home.Sighting{}, false
	}
	label := i.raw[:len(i.raw)-len("."+i.typ+".local.")]
	s, ok := Describe(Announcement{Instance: unescape(label), Type: i.typ, Host: h.raw, TXT: i.txt})
	if !ok {
		return s, false
	}
	for _, a := range h.addrs {
		s.Addrs = append(s.Addrs, a.Addr)
	}
	slices.SortStableFunc(s.Addrs, func(x, y netip.Addr) int { return cmp.Compare(preference(x), preference(y)) })
	s.Addr = netip.AddrPortFrom(s.Addrs[0], i.port)
	s.At = now.UTC().Round(0)
	return s, true
}

// preference is less for what is to be dialled first.
func preference(a netip.Addr) int {
	switch {
	case a.Is4():
		return 0
	case !a.IsLinkLocalUnicast():
		return 1
	}
	return 2
}
