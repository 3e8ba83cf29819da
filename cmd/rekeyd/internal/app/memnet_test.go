package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// network is a network in memory. A goroutine that waits for it is idle for synctest, which no real socket offers.
type network struct {
	mu        sync.Mutex // guards the fields below
	listeners map[string]*memoryListener
	faults    faults
	rnd       *rand.Rand
	line      line // to the broker
}

// faults are the probabilities that a packet between a member and its broker is lost, delivered twice or late, or that
// the connection ends with it.
type faults struct{ drop, double, delay, cut float64 }

func newNetwork(seed uint64) *network {
	return &network{listeners: map[string]*memoryListener{}, rnd: rand.New(rand.NewPCG(seed, 1))}
}

// set replaces the faults.
func (n *network) set(f faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

func (n *network) listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &memoryListener{n: n, addr: addr, arriving: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// dial connects to an address. One at which nothing listens refuses.
func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case l.arriving <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dialBroker connects to a broker, through the faults.
func (n *network) dialBroker(addr string) (net.Conn, error) {
	if !n.line.opens() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ETIMEDOUT}
	}
	broker, err := n.dial(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	near, member := net.Pipe()
	w, accepted := n.line.add(near)
	if !accepted {
		_ = broker.Close()
		go refuse(member)
		return near, nil
	}
	go n.carry(w, member, broker)
	go n.carry(w, broker, member)
	return near, nil
}

// carry copies packets from one end to the other, with faults, until either end is closed.
func (n *network) carry(w *wireConn, from, to net.Conn) {
	type packet struct {
		packets.ControlPacket
		sent time.Time
	}
	way := make(chan packet, 10_000) // never full: a sender that waits would hold a lock, which stops a bubble's clock
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer to.Close()
		var mu sync.Mutex // one writer at a time
		emit := func(p packets.ControlPacket) error {
			mu.Lock()
			defer mu.Unlock()
			return p.Write(to)
		}
		for p := range way {
			if !n.line.pass(w, p.ControlPacket, p.sent) {
				continue
			}
			var err error
			switch n.fate(p.ControlPacket) {
			case "cut":
				_ = from.Close()
				continue
			case "drop":
				continue
			case "double":
				err = emit(p)
			case "delay":
				time.AfterFunc(n.late(), func() { _ = emit(p) })
				continue
			}
			if errors.Join(err, emit(p)) != nil {
				_ = from.Close() // and drain
			}
		}
	}()
	for {
		p, err := packets.ReadPacket(from)
		if err != nil {
			break
		}
		way <- packet{p, time.Now()}
	}
	_ = from.Close()
	close(way)
	<-ended
}

// fate draws what happens to a packet. Only publications and their acknowledgements are lost, doubled or late.
func (n *network) fate(p packets.ControlPacket) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, x := n.faults, n.rnd.Float64()
	if x < f.cut {
		return "cut"
	}
	switch p.(type) {
	case *packets.PublishPacket, *packets.PubackPacket:
	default:
		return ""
	}
	x -= f.cut
	for _, fault := range []struct {
		name   string
		chance float64
	}{{"drop", f.drop}, {"double", f.double}, {"delay", f.delay}} {
		if x < fault.chance {
			return fault.name
		}
		x -= fault.chance
	}
	return ""
}

// late draws by how much a packet is late: enough for others to overtake it.
func (n *network) late() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.rnd.IntN(20_000)) * time.Millisecond
}

// memoryListener accepts connections in memory.
type memoryListener struct {
	n        *network
	addr     string
	arriving chan net.Conn
	closed   chan struct{}
	once     sync.Once // closes closed
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arriving:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr)
		l.n.mu.Unlock()
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.addr))
}
