package account

import (
	"context"
	"fmt"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// perKeyLimit admits a few of each key at the same time. The others wait in the queue of their key, so a flood with one
// key does not delay another key.
type perKeyLimit struct {
	width int

	mu sync.Mutex // guards by
	by map[string]*keySlots
}

// keySlots is the room of one key.
type keySlots struct {
	slots chan struct{}
	users int
}

func newPerKeyLimit(width int) *perKeyLimit {
	return &perKeyLimit{width: width, by: map[string]*keySlots{}}
}

// enter waits for a slot until ctx ends. Each call of enter needs one of leave.
func (l *perKeyLimit) enter(ctx context.Context, key string) error {
	l.mu.Lock()
	x := l.by[key]
	if x == nil {
		x = &keySlots{slots: make(chan struct{}, l.width)}
		l.by[key] = x
	}
	x.users++
	l.mu.Unlock()
	select {
	case x.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.drop(key, x)
		return fmt.Errorf("wait for others of the same address: %w", home.ErrUnavailable)
	}
}

func (l *perKeyLimit) leave(key string) {
	l.mu.Lock()
	x := l.by[key]
	l.mu.Unlock()
	<-x.slots
	l.drop(key, x)
}

func (l *perKeyLimit) drop(key string, x *keySlots) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.users--; x.users == 0 {
		delete(l.by, key)
	}
}
