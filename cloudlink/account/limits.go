package account

import (
	"net/netip"
	"sync"
	"time"
)

// limit counts what happened to whom, in memory: after a restart everybody begins anew. Keys are kept whether or not they name
// anybody, so that a limit tells nothing.
type limit struct {
	max    int
	window time.Duration
	pause  time.Duration // between two; 0 for none

	mu   sync.Mutex // guards hits
	hits map[string][]time.Time
}

// manyKeys is how many keys a limit remembers. Past it the ones whose window has passed go, and if that is not enough, any.
const manyKeys = 100_000

func newLimit(n int, window, pause time.Duration) *limit {
	return &limit{max: n, window: window, pause: pause, hits: map[string][]time.Time{}}
}

// full tells whether key has reached the limit, and counts nothing.
func (l *limit) full(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	hits := l.recent(key, now)
	return l.reached(hits, now)
}

// reached tells whether no more than hits may be now. Of two at once the later may be counted first: that is no pause.
func (l *limit) reached(hits []time.Time, now time.Time) bool {
	return len(hits) >= l.max || len(hits) > 0 && l.pause > 0 && now.Sub(hits[len(hits)-1]) < l.pause
}

// take counts one for key, unless the limit is reached.
func (l *limit) take(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	hits := l.recent(key, now)
	if l.reached(hits, now) {
		return false
	}
	if len(l.hits) >= manyKeys {
		l.shrink(now)
	}
	l.hits[key] = append(hits, now)
	return true
}

func (l *limit) forget(key string) {
	l.mu.Lock()
	delete(l.hits, key)
	l.mu.Unlock()
}

// recent returns the hits of key that still count; l.mu is held.
func (l *limit) recent(key string, now time.Time) []time.Time {
	hits := l.hits[key]
	for len(hits) > 0 && now.Sub(hits[0]) >= l.window {
		hits = hits[1:]
	}
	if len(hits) == 0 {
		delete(l.hits, key)
	}
	return hits
}

func (l *limit) shrink(now time.Time) {
	for k := range l.hits {
		l.recent(k, now)
	}
	for k := range l.hits {
		if len(l.hits) < manyKeys*9/10 {
			return
		}
		delete(l.hits, k)
	}
}

// lock is a limit that, once reached, holds for a time of its own.
type lock struct {
	failures *limit
	length   time.Duration

	mu    sync.Mutex // guards until
	until map[string]time.Time
}

func newLock(p Policy) *lock {
	return &lock{failures: newLimit(p.LoginFailures, p.LoginWindow, 0), length: p.LoginLock, until: map[string]time.Time{}}
}

func (l *lock) locked(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.until[key]
	if ok && !now.Before(until) {
		delete(l.until, key)
		ok = false
	}
	return ok
}

func (l *lock) failed(key string, now time.Time) {
	l.failures.take(key, now)
	if !l.failures.full(key, now) {
		return
	}
	l.failures.forget(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, until := range l.until {
		if len(l.until) < manyKeys {
			break
		}
		if !now.Before(until) {
			delete(l.until, k)
		}
	}
	l.until[key] = now.Add(l.length)
}

func (l *lock) open(key string) {
	l.failures.forget(key)
	l.mu.Lock()
	delete(l.until, key)
	l.mu.Unlock()
}

// Network returns what stands for one neighbour: the address itself, or of IPv6 its /64.
func Network(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Masked().String()
		}
	}
	return a.String()
}
