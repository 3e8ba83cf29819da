package account

import (
	"context"
	"fmt"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// lanes let a few of each key through at once; the rest waits, each key in a line of its own. So whoever comes with another key has only
// those few before them.
type lanes struct {
	width int

	mu sync.Mutex // guards by
	by map[string]*lane
}

type lane struct {
	slots chan struct{}
	users int
}

func newLanes(width int) *lanes { return &lanes{width: width, by: map[string]*lane{}} }

// enter waits for a slot, as long as ctx lasts. Each that enters leaves.
func (l *lanes) enter(ctx context.Context, key string) error {
	l.mu.Lock()
	x := l.by[key]
	if x == nil {
		x = &lane{slots: make(chan struct{}, l.width)}
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

func (l *lanes) leave(key string) {
	l.mu.Lock()
	x := l.by[key]
	l.mu.Unlock()
	<-x.slots
	l.drop(key, x)
}

func (l *lanes) drop(key string, x *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.users--; x.users == 0 {
		delete(l.by, key)
	}
}
