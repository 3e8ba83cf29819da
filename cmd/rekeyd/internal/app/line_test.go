package app

import (
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// line is the way to a broker, which may be bad for a time. As TCP does, it takes whatever is written, and delivers it
// in order.
type line struct {
	mu     sync.Mutex // guards the fields below
	is     condition
	better chan struct{} // closed when the condition is replaced
	conns  []*wireConn
}

// condition is how bad a line is. The zero condition is a good one.
type condition struct {
	mute   bool          // packets wait; connections can be made
	lost   bool          // packets are lost, and connections with them: one that was open then never works again
	refuse bool          // the broker refuses connections, as one does that is starting
	delay  time.Duration // of each packet
	rate   int           // bytes a second; 0 for no limit
}

// wireConn is one connection over a line.
type wireConn struct {
	net.Conn
	dead bool // its packets are lost; guarded by the line's mutex
}

// set replaces the condition.
func (l *line) set(c condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.better != nil {
		close(l.better)
	}
	l.is, l.better = c, make(chan struct{})
	for _, w := range l.conns {
		w.dead = w.dead || c.lost
	}
}

// cut ends all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// add adds a connection; false where the broker refuses it.
func (l *line) add(c net.Conn) (w *wireConn, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w = &wireConn{Conn: c, dead: l.is.lost}
	l.conns = append(l.conns, w)
	return w, !l.is.refuse
}

// opens waits until a packet that opens a connection arrives: at once, or when TCP repeats it, after 1 and 3 seconds.
// Members give up after 5 seconds.
func (l *line) opens() bool {
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 2 * time.Second} {
		l.mu.Lock()
		lost := l.is.lost
		l.mu.Unlock()
		if !lost {
			return true
		}
		time.Sleep(pause)
	}
	return false
}

// pass waits as long as a packet takes; false where it is lost.
func (l *line) pass(w *wireConn, p packets.ControlPacket, sent time.Time) bool {
	for {
		l.mu.Lock()
		is, better, dead := l.is, l.better, w.dead
		l.mu.Unlock()
		if dead || !is.mute {
			if m, ok := p.(*packets.PublishPacket); ok && is.rate > 0 {
				time.Sleep(time.Duration(len(m.Payload)) * time.Second / time.Duration(is.rate))
			}
			time.Sleep(time.Until(sent.Add(is.delay)))
			return !dead
		}
		<-better
	}
}

// refuse answers a connection as a broker does that cannot serve it now.
func refuse(member net.Conn) {
	defer member.Close()
	if _, err := packets.ReadPacket(member); err != nil {
		return
	}
	answer := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	answer.ReturnCode = packets.ErrRefusedServerUnavailable
	_ = answer.Write(member)
}
