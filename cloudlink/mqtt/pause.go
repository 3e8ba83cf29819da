package mqtt

import (
	"math/rand/v2"
	"time"
)

// How many pauses in a row are short, and how long they are at most: a broker that restarts is back within a minute.
const (
	shortPauses = 30
	shortPause  = 2 * time.Second
)

// pause returns the pause after n rounds of dialling in which no end has answered.
func (c *Conn) pause(n int) time.Duration {
	p := min(c.o.MinPause<<min(n, 20), shortPause)
	if n >= shortPauses {
		p = shortPause << min(n-shortPauses, 20)
	}
	p = max(c.o.MinPause, min(p, c.o.MaxPause))
	return p/2 + rand.N(p/2+1) // jitter keeps a fleet of hubs from coming back in one instant
}

// Worked reports that the other end has answered over this connection: when it is lost, the next is dialled without a
// long pause.
func (c *Conn) Worked() { c.worked.Store(true) }

// Hurry ends the pause before the next round of dialling. It never blocks.
func (c *Conn) Hurry() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}
