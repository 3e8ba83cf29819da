package account

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// crowd counts what is under way for whom, so that one neighbour's flood does not stop another. It is in memory, and needs no clock.
type crowd struct {
	each, all int // at most for one, and for everybody

	mu  sync.Mutex // guards what follows
	of  map[string]int
	sum int
}

func newCrowd(each, all int) *crowd { return &crowd{each: each, all: all, of: map[string]int{}} }

// enter counts one more for key, unless that is too many. Each that enters leaves.
func (c *crowd) enter(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sum >= c.all || c.of[key] >= c.each {
		return false
	}
	c.sum++
	c.of[key]++
	return true
}

func (c *crowd) leave(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum--
	if c.of[key]--; c.of[key] == 0 {
		delete(c.of, key)
	}
}

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

// crowdListener lets a bounded number of connections in, of one network address and of all. One too many is cut at once: whoever cannot
// hold connections open can hold up nobody.
type crowdListener struct {
	net.Listener
	crowd *crowd
}

func (l crowdListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := network(c.RemoteAddr().String())
		if l.crowd.enter(from) {
			return &crowdConn{Conn: c, leave: sync.OnceFunc(func() { l.crowd.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

type crowdConn struct {
	net.Conn
	leave func()
}

func (c *crowdConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
