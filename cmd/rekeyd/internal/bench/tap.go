package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// traffic is the sizes of messages: what members said, and what the service did.
type traffic struct{ up, down []int }

func (t traffic) count() int { return len(t.up) + len(t.down) }

func (t traffic) bytes() (n int) {
	for _, sizes := range [][]int{t.up, t.down} {
		for _, s := range sizes {
			n += s
		}
	}
	return n
}

// tap keeps what clients say to a broker, from open to close.
type tap struct {
	mu   sync.Mutex // guards what follows, and said of the conns
	is   bool
	seen []*tapped
}

type tapped struct {
	net.Conn
	tap  *tap
	said []byte
}

type tapListener struct {
	net.Listener
	tap *tap
}

func (t *tap) listener(l net.Listener) net.Listener { return tapListener{l, t} }

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &tapped{Conn: c, tap: l.tap}
	l.tap.mu.Lock()
	l.tap.seen = append(l.tap.seen, w)
	l.tap.mu.Unlock()
	return w, nil
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.mu.Lock()
	if c.tap.is {
		c.said = append(c.said, b[:n]...)
	}
	c.tap.mu.Unlock()
	return n, err
}

func (t *tap) open()  { t.set(true) }
func (t *tap) close() { t.set(false) }

func (t *tap) set(is bool) {
	t.mu.Lock()
	t.is = is
	t.mu.Unlock()
}

// traffic returns the publications that were made while the tap was open. It was opened between two packets.
func (t *tap) traffic(hub string) (moved traffic, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.seen {
		r := bytes.NewReader(c.said)
		for {
			p, err := packets.ReadPacket(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return moved, err
			}
			m, ok := p.(*packets.PublishPacket)
			switch {
			case !ok:
			case m.TopicName == wire.OutboxTopic(hub):
				moved.up = append(moved.up, len(m.Payload))
			default:
				moved.down = append(moved.down, len(m.Payload))
			}
		}
	}
	return moved, nil
}
