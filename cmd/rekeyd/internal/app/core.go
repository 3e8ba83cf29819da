package app

import (
	"context"
	"time"
)

// enginePart is the engine of the hub.
func (h *Hub) enginePart() part {
	return part{name: "engine", vital: true, run: func(ctx context.Context) error {
		defer h.endEngine()
		return h.engine.Run(ctx)
	}}
}

// lastMoves is how long the link waits at its end for the engine, whose drivers end with their context.
const lastMoves = 5 * time.Second

// runLink runs the link until ctx and then the engine have ended: the link gives the lease back, and from then on
// another hub moves the devices.
func (h *Hub) runLink(ctx context.Context) error {
	last, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-h.engineEnded:
		case <-time.After(lastMoves):
		case <-last.Done():
		}
		stop()
	})()
	return h.link.Run(last)
}
