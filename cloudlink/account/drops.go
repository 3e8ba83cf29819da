package account

import (
	"log/slog"
	"sync"
)

// Drops logs dropped messages and refused requests, by reason: at Warn the first, the second, the fourth, so that a
// flood does not fill the log, and at Debug the others.
type Drops struct {
	log *slog.Logger

	mu sync.Mutex // guards by
	by map[string]uint64
}

// NewDrops returns a Drops that logs to log.
func NewDrops(log *slog.Logger) *Drops { return &Drops{log: log, by: map[string]uint64{}} }

// Add logs one more. message is constant, reason one of few words; attrs are those of slog.
func (d *Drops) Add(message, reason string, attrs ...any) {
	d.mu.Lock()
	d.by[reason]++
	n := d.by[reason]
	d.mu.Unlock()
	log := d.log.Debug
	if n&(n-1) == 0 {
		log = d.log.Warn
	}
	log(message, append([]any{"reason", reason, "so_far", n}, attrs...)...)
}
