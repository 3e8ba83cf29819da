package daemon

import (
	"context"
	"fmt"
)

// Alive returns nil after the loop of Run has gone round once, and an error when ctx ends first. It is the answer to
// a watchdog: a loop that is blocked, or waits for a lock that is never released, does not answer.
func (r *Rekeyer) Alive(ctx context.Context) error {
	// The loop answers between two rounds. Two answers have a whole round between them, with its lock.
	for range 2 {
		select {
		case <-r.alive:
		case <-ctx.Done():
			return fmt.Errorf("engine does not answer: %w", context.Cause(ctx))
		}
	}
	return nil
}
