package mqtt

import (
	"math/rand/v2"
	"time"
)

// How many pauses in a row are short, and how long they are at most: for about a quarter of an hour an owner may be
// waiting.
const (
	shortPauses = 600
	shortPause  = 2 * time.Second
)

// How long a broker may take to accept a connection. A try that got lost ends soon, because the next one may succeed;
// every fourth round of dialling is patient with a slow line.
const (
	shortConnect   = 5 * time.Second
	patientConnect = 10 * time.Second
)

func connectTimeout(round int) time.Duration {
	if round%4 == 3 {
		return patientConnect
	}
	return shortConnect
}

// pause returns the pause after n rounds of dialling in which no end has answered. The last round took spent, which
// counts as pause.
func (c *Conn) pause(n int, spent time.Duration) time.Duration {
	p := min(c.o.MinPause<<min(n, 20), shortPause)
	if n >= shortPauses {
		p = shortPause << min(n-shortPauses, 20)
	}
	p = max(c.o.MinPause, min(p, c.o.MaxPause)-spent)
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
