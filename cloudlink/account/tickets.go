package account

import (
	"crypto/rand"
	"sync"
	"time"
)

// A ticket lets whoever has just reset a password see the devices come back, and nothing else: a reset signs nobody in.
type ticket struct {
	account string
	epoch   uint64
	until   time.Time
}

type tickets struct {
	mu sync.Mutex // guards by
	by map[string]ticket
}

const (
	ticketLife = time.Hour
	maxTickets = 10_000 // past it the oldest die first
)

func (t *tickets) issue(account string, epoch uint64, now time.Time) string {
	word := rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]ticket{}
	}
	oldest := ""
	for k, v := range t.by {
		if now.After(v.until) {
			delete(t.by, k)
		} else if oldest == "" || v.until.Before(t.by[oldest].until) {
			oldest = k
		}
	}
	if len(t.by) >= maxTickets {
		delete(t.by, oldest)
	}
	t.by[hashed(word)] = ticket{account, epoch, now.Add(ticketLife)}
	return word
}

func (t *tickets) find(word string, now time.Time) (ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.by[hashed(word)]
	return v, ok && !now.After(v.until)
}
