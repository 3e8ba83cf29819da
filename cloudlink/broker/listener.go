package broker

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// connectTimeout is how long a connection may take to send CONNECT. mochi itself waits for ever.
const connectTimeout = 10 * time.Second

// maxAcceptPause is the longest pause between two attempts to accept while descriptors or memory are short.
const maxAcceptPause = time.Second

// listener passes connections to mochi and keeps account of all of them. mochi's own listener does not count
// connections that have not sent CONNECT, and waits for them when it closes.
type listener struct {
	net.Listener
	log     *slog.Logger
	failed  chan error    // receives the error that ended Serve
	closing chan struct{} // closed by Close

	mu      sync.Mutex // guards conns and closed
	conns   map[net.Conn]bool
	closed  bool
	serving sync.WaitGroup
}

func newListener(l net.Listener, log *slog.Logger) *listener {
	return &listener{
		Listener: l, log: log, failed: make(chan error, 1), closing: make(chan struct{}), conns: map[net.Conn]bool{},
	}
}

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return "link" }
func (l *listener) Address() string         { return l.Addr().String() }
func (l *listener) Protocol() string        { return l.Addr().Network() }

// Serve accepts connections until the listener is closed. A shortage of descriptors passes, so accept is then repeated.
func (l *listener) Serve(establish listeners.EstablishFn) {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case temporary(err):
			if pause == 0 {
				l.log.Warn("accept failed, trying again", "addr", l.Address(), "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			select {
			case <-time.After(pause):
			case <-l.closing:
			}
			continue
		case err != nil:
			select {
			case l.failed <- err:
			default:
			}
			return
		}
		pause = 0
		if !l.add(c) {
			_ = c.Close()
			continue
		}
		go func() {
			defer l.remove(c)
			_ = c.SetDeadline(time.Now().Add(connectTimeout))
			_ = establish(l.ID(), c) // an error of one client ends its own connection only
		}()
	}
}

// temporary reports whether accept can succeed later on the same listener.
func temporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// add records an open connection. It returns false once the listener is closed.
func (l *listener) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[c] = true
	l.serving.Add(1)
	return true
}

func (l *listener) remove(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.serving.Done()
}

// Close closes the listener and every connection, and waits for the goroutines that served them.
func (l *listener) Close(closeClients listeners.CloseFn) {
	_ = l.Listener.Close()
	l.mu.Lock()
	if !l.closed {
		close(l.closing)
	}
	l.closed = true
	for c := range l.conns {
		_ = c.SetDeadline(time.Now().Add(time.Second)) // a client that does not read must not delay DISCONNECT to the others
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
