package broker

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// greeting is how long a connection may take to say who it is. mochi itself waits for ever.
const greeting = 10 * time.Second

// listener hands connections to mochi, and knows them all: mochi's own forgets those that have not said CONNECT, and then waits
// for them at its end.
type listener struct {
	net.Listener
	failed chan error

	mu      sync.Mutex // guards conns and closed
	conns   map[net.Conn]bool
	closed  bool
	serving sync.WaitGroup
}

func newListener(l net.Listener) *listener {
	return &listener{Listener: l, failed: make(chan error, 1), conns: map[net.Conn]bool{}}
}

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return "link" }
func (l *listener) Address() string         { return l.Addr().String() }
func (l *listener) Protocol() string        { return l.Addr().Network() }

// Serve accepts until the listener is closed. A want of file descriptors passes; it must not end the broker.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			select {
			case l.failed <- err:
			default:
			}
			return
		}
		if !l.enter(c) {
			_ = c.Close()
			continue
		}
		go func() {
			defer l.leave(c)
			_ = c.SetDeadline(time.Now().Add(greeting))
			_ = establish(l.ID(), c) // what a client does wrong ends its connection, nothing else
		}()
	}
}

func (l *listener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.conns) >= 2*maxClients {
		return false
	}
	l.conns[c] = true
	l.serving.Add(1)
	return true
}

func (l *listener) leave(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.serving.Done()
}

// Close ends the listener and every connection, and waits for what served them.
func (l *listener) Close(closeClients listeners.CloseFn) {
	_ = l.Listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		_ = c.SetDeadline(time.Now().Add(time.Second)) // a client that does not read must not hold up the goodbye
	}
	l.mu.Unlock()
	closeClients(l.ID())
	l.mu.Lock()
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.serving.Wait()
}
