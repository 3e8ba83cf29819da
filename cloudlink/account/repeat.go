package account

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// repeatLife is how long a repeated request gets the answer of the first.
const repeatLife = 5 * time.Minute

// repeats remembers the results of one-time requests: a double click or a reload sends a form twice, and its person
// must not read that the link was used. The results stay in memory, for successes only, so mails limit their number.
type repeats struct {
	now func() time.Time
	mu  sync.Mutex // guards all
	all map[string]*repeat
}

// repeat is one request. Its result may be read once done is closed.
type repeat struct {
	done   chan struct{}
	ended  bool // guarded by mu
	at     time.Time
	result Begun
	err    error
}

// do calls use for the first request with a token, and returns its result to the others; repeated is true for them.
// Whoever comes while use runs waits for it. After an error the next request is a first one.
func (r *repeats) do(ctx context.Context, token string, use func() (Begun, error)) (_ Begun, repeated bool, _ error) {
	code, ok := FindCode(token)
	if !ok {
		result, err := use() // which refuses it
		return result, false, err
	}
	key := hashed(code)
	for {
		first, mine := r.enter(key)
		if mine {
			result, err := use()
			r.leave(key, first, result, err)
			return result, false, err
		}
		select {
		case <-first.done:
		case <-ctx.Done():
			return Begun{}, false, fmt.Errorf("wait for the first request: %w", home.ErrUnavailable)
		}
		if first.err == nil {
			return first.result, true, nil
		}
	}
}

// enter returns the request with this key, and whether the caller has to carry it out.
func (r *repeats) enter(key string) (_ *repeat, mine bool) {
	old := r.now().Add(-repeatLife)
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, done := range r.all {
		if done.ended && done.at.Before(old) {
			delete(r.all, k)
		}
	}
	if found := r.all[key]; found != nil {
		return found, false
	}
	if r.all == nil {
		r.all = map[string]*repeat{}
	}
	r.all[key] = &repeat{done: make(chan struct{})}
	return r.all[key], true
}

func (r *repeats) leave(key string, first *repeat, result Begun, err error) {
	now := r.now()
	r.mu.Lock()
	first.ended, first.at, first.result, first.err = true, now, result, err
	if err != nil {
		delete(r.all, key)
	}
	r.mu.Unlock()
	close(first.done)
}
