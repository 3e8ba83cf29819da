package account

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter limits how often something happens to each key: n at once, and n in each window from then on. It is kept in
// memory, so a restart begins anew. A key counts whether or not it names an account, so that a limit reveals nothing.
type Limiter struct {
	n     int
	every rate.Limit

	mu sync.Mutex // guards by
	by map[string]*rate.Limiter
}

// manyKeys is how many keys a limiter remembers.
const manyKeys = 100_000

// NewLimiter returns a limiter of n in each window; without a window there is no limit.
func NewLimiter(n int, window time.Duration) *Limiter {
	every := rate.Inf
	if window > 0 {
		every = rate.Limit(float64(n) / window.Seconds())
	}
	return &Limiter{n: n, every: every, by: map[string]*rate.Limiter{}}
}

// Take counts one for key. It returns false, and counts nothing, where the limit is reached.
func (l *Limiter) Take(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[key]
	if one == nil {
		if len(l.by) >= manyKeys {
			l.shrink(now)
		}
		one = rate.NewLimiter(l.every, l.n)
		l.by[key] = one
	}
	return one.AllowN(now, 1)
}

// Full returns whether key has reached the limit.
func (l *Limiter) Full(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[key]
	if one == nil {
		return false
	}
	one.AllowN(now, 0) // where the clock was set back, the window begins again
	return one.TokensAt(now) < 1
}

// Forget makes key begin anew.
func (l *Limiter) Forget(key string) {
	l.mu.Lock()
	delete(l.by, key)
	l.mu.Unlock()
}

// shrink deletes keys that count for nothing any more, and then any key, until a tenth is free; l.mu is held.
func (l *Limiter) shrink(now time.Time) {
	for k, one := range l.by {
		if one.TokensAt(now) >= float64(l.n) {
			delete(l.by, k)
		}
	}
	for k := range l.by {
		if len(l.by) < manyKeys*9/10 {
			return
		}
		delete(l.by, k)
	}
}

// lockout locks a key after too many failures, for a time that begins with the last of them.
type lockout struct {
	failures *Limiter
	locks    *Limiter // one in the time of a lock
}

func newLockout(failures int) lockout {
	return lockout{NewLimiter(failures, failureWindow), NewLimiter(1, lockoutLife)}
}

const (
	failureWindow = 30 * time.Minute
	lockoutLife   = 2 * time.Hour
)

func (l lockout) locked(key string, now time.Time) bool { return l.locks.Full(key, now) }

func (l lockout) failed(key string, now time.Time) {
	if l.failures.Take(key, now); l.failures.Full(key, now) {
		l.failures.Forget(key)
		l.locks.Take(key, now)
	}
}

// open ends a lock, and forgets the failures.
func (l lockout) open(key string) {
	l.failures.Forget(key)
	l.locks.Forget(key)
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
