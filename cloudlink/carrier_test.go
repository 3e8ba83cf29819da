package cloudlink_test

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// direction is which way a packet goes.
type direction int

const (
	up   direction = iota // from the member
	down                  // to the member
)

// meddler decides what becomes of one packet: it emits it, or something else, any number of times, now or later. It
// returns false to cut the connection. It is called for one packet at a time.
type meddler func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool

// carrier stands between a member and its broker, and does what a broker that is not to be trusted may do.
type carrier struct {
	l net.Listener

	mu     sync.Mutex // guards what follows; held by a meddler
	to     string
	meddle meddler
	lines  map[*line]bool
	dials  int
	all    sync.WaitGroup
}

// line is one connection through the carrier.
type line struct {
	ends [2]net.Conn // by direction: where a packet of that direction goes
	mu   [2]sync.Mutex
}

func (l *line) cut() { _ = l.ends[up].Close(); _ = l.ends[down].Close() }

func (l *line) emit(d direction, p packets.ControlPacket) {
	l.mu[d].Lock()
	defer l.mu[d].Unlock()
	_ = p.Write(l.ends[d]) // whoever reads there sees a connection that has ended
}

// carry opens a carrier to the broker at an address.
func carry(t testing.TB, to string) *carrier {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return carryOn(t, l, to)
}

// carryOn is carry on a listener.
func carryOn(t testing.TB, l net.Listener, to string) *carrier {
	t.Helper()
	c := &carrier{l: l, to: to, lines: map[*line]bool{}}
	c.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.all.Go(func() { c.serve(conn) })
		}
	})
	return c
}

func (c *carrier) url() string { return "mqtt://" + c.l.Addr().String() }

// set has f decide from now on; nil for a carrier that carries.
func (c *carrier) set(f meddler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meddle = f
}

// lead leads to another broker from now on.
func (c *carrier) lead(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
}

// cut ends every connection.
func (c *carrier) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.lines {
		l.cut()
	}
}

// inject sends a packet to whoever is connected.
func (c *carrier) inject(d direction, p packets.ControlPacket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.lines {
		l.emit(d, p)
	}
}

func (c *carrier) dialled() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials
}

func (c *carrier) close() {
	_ = c.l.Close()
	c.cut()
	c.all.Wait()
}

func (c *carrier) serve(member net.Conn) {
	c.mu.Lock()
	c.dials++
	to := c.to
	c.mu.Unlock()
	broker, err := net.Dial("tcp", to)
	if err != nil {
		_ = member.Close()
		return
	}
	l := &line{ends: [2]net.Conn{broker, member}}
	c.mu.Lock()
	c.lines[l] = true
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.pump(l, up, member) })
	both.Go(func() { c.pump(l, down, broker) })
	both.Wait()
	c.mu.Lock()
	delete(c.lines, l)
	c.mu.Unlock()
}

func (c *carrier) pump(l *line, d direction, from io.Reader) {
	defer l.cut()
	for {
		p, err := packets.ReadPacket(from)
		if err != nil {
			return
		}
		c.mu.Lock()
		f := c.meddle
		if f == nil {
			c.mu.Unlock()
			l.emit(d, p)
			continue
		}
		keep := f(d, p, func(p packets.ControlPacket) { l.emit(d, p) })
		c.mu.Unlock()
		if !keep {
			return
		}
	}
}

// mischief is how often a carrier does what, of 1.
type mischief struct {
	drop, double, delay, replay, flip float64 // of publications; where any is flipped, each direction's second one is
	acks                              float64 // of acknowledgements that are dropped
	cut                               float64 // of packets after which the connection ends
}

// meddler returns mischief as a meddler, the same for the same seed and the same packets.
func (m mischief) meddler(seed uint64) meddler {
	rnd := rand.New(rand.NewPCG(seed, 7))
	var past [2][]*packets.PublishPacket
	var seen [2]int
	chance := func(of float64) bool { return rnd.Float64() < of }
	return func(d direction, p packets.ControlPacket, emit func(packets.ControlPacket)) bool {
		if chance(m.cut) {
			return false
		}
		if _, ok := p.(*packets.PubackPacket); ok {
			if !chance(m.acks) {
				emit(p)
			}
			return true
		}
		pub, ok := p.(*packets.PublishPacket)
		if !ok {
			emit(p)
			return true
		}
		if len(past[d]) < 256 {
			past[d] = append(past[d], pub.Copy())
		} else {
			past[d][rnd.IntN(256)] = pub.Copy()
		}
		if seen[d]++; seen[d] == 2 && m.flip > 0 && len(pub.Payload) > 0 {
			pub.Payload = append([]byte(nil), pub.Payload...)
			pub.Payload[0] ^= 1 // no luck may make it harmless
			emit(pub)
			return true
		}
		if chance(m.flip) && len(pub.Payload) > 0 {
			pub.Payload = append([]byte(nil), pub.Payload...)
			pub.Payload[rnd.IntN(len(pub.Payload))] ^= 1 << rnd.IntN(8)
		}
		switch {
		case chance(m.drop):
		case chance(m.delay):
			time.AfterFunc(time.Duration(rnd.IntN(100))*time.Millisecond, func() { emit(pub) })
		case chance(m.double):
			emit(pub)
			again := *pub
			again.Dup = true
			emit(&again)
		default:
			emit(pub)
		}
		if chance(m.replay) {
			old := past[d][rnd.IntN(len(past[d]))].Copy()
			old.Qos = 0 // so that it takes no other's acknowledgement
			emit(old)
		}
		return true
	}
}

var quiet = slog.New(slog.DiscardHandler)
