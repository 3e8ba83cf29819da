package discover

import (
	"time"

	"github.com/miekg/dns"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// work returns complete sightings, questions for missing records, and when to call it again (zero: after the next
// packet).
func (b *book) work(now time.Time) (sightings []home.Sighting, ask []dns.Question, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sightings, b.goodbyes = b.goodbyes, nil
	soon := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	asked := map[*host]bool{}
	for i := range b.dirty {
		missing, wait := b.missing(i, now, asked)
		ask = append(ask, missing...)
		if !wait.IsZero() {
			soon(wait)
		}
		if i.reportedIn != b.sweep {
			if s, ok := b.sighting(i, now); ok {
				sightings = append(sightings, s)
				i.reported, i.reportedIn = true, b.sweep
			}
		}
		switch {
		case !wait.IsZero():
		case i.reported || i.complete(b):
			delete(b.dirty, i)
		default:
			b.drop(i, now) // nothing answers for it: a forgery, or a device that left; it returns with the next sweep
			b.count("mdns incomplete")
		}
	}
	return sightings, ask, next
}

// missing returns the questions whose time has come, and when there is more to ask or to decide (zero for never).
func (b *book) missing(i *instance, now time.Time, asked map[*host]bool) (ask []dns.Question, wait time.Time) {
	later := func(t time.Time) {
		if wait.IsZero() || t.Before(wait) {
			wait = t
		}
	}
	if i.host == "" || !i.hasTXT || i.missed >= suspectAt {
		if i.asking.due(now) {
			i.asking.asked(now)
			if i.host == "" || i.missed >= suspectAt {
				ask = append(ask, question(i.raw, dns.TypeSRV))
			}
			if !i.hasTXT {
				ask = append(ask, question(i.raw, dns.TypeTXT))
			}
		}
		if i.asking.tries < maxAsks || now.Before(i.asking.next) {
			later(i.asking.next)
		}
	}
	h := b.hosts[i.host]
	if h == nil {
		return ask, wait
	}
	b.settleDoubts(h, now)
	if h.doubted || len(h.addrs) == 0 {
		if !asked[h] && h.asking.due(now) {
			asked[h] = true
			h.asking.asked(now)
			ask = append(ask, question(h.raw, dns.TypeA), question(h.raw, dns.TypeAAAA))
		}
		if h.asking.tries < maxAsks || now.Before(h.asking.next) {
			later(h.asking.next)
		}
	}
	if h.doubted {
		for _, a := range h.addrs {
			if !a.doubt.IsZero() {
				later(a.doubt.Add(doubtFor))
			}
		}
	}
	return ask, wait
}

// settleDoubts forgets addresses that were not received again in time.
func (b *book) settleDoubts(h *host, now time.Time) {
	if !h.doubted {
		return
	}
	h.doubted = false
	kept := h.addrs[:0]
	for _, a := range h.addrs {
		if !a.doubt.IsZero() && now.Sub(a.doubt) >= doubtFor {
			for i := range h.of {
				i.reportedIn = -1
				b.dirty[i] = struct{}{}
			}
			continue
		}
		h.doubted = h.doubted || !a.doubt.IsZero()
		kept = append(kept, a)
	}
	h.addrs = kept
}

func question(name string, kind uint16) dns.Question {
	return dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET}
}

// begin starts a sweep: what was missing may be asked for anew.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep++
	for _, h := range b.hosts {
		if !h.doubted {
			h.asking = asking{}
		}
	}
}

// end closes a sweep and forgets instances that were not received for long enough.
func (b *book) end(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.instances {
		if i.seenIn == b.sweep {
			continue
		}
		i.missed++
		switch {
		case i.missed >= goneAt && now.After(i.expires):
			b.drop(i, now)
		case i.missed >= suspectAt:
			i.asking = asking{next: now}
			b.dirty[i] = struct{}{}
		}
	}
	for _, h := range b.hosts {
		b.forgetAddrs(h, now)
	}
}

// forgetAddrs doubts an address that was not received for goneAt sweeps while another one of the host was.
func (b *book) forgetAddrs(h *host, now time.Time) {
	newest := 0
	for _, a := range h.addrs {
		newest = max(newest, a.sweep)
	}
	for at := range h.addrs {
		if a := &h.addrs[at]; newest-a.sweep >= goneAt && a.doubt.IsZero() {
			a.doubt = now
			b.doubt(h, now)
		}
	}
}
