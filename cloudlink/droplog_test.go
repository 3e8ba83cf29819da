package cloudlink_test

import (
	"context"
	"log/slog"
	"maps"
	"sync"
)

// dropLog is the log of a link. It counts the messages that the link drops, by reason.
type dropLog struct {
	slog.Handler

	mu sync.Mutex // guards by
	by map[string]int
}

func newDropLog(log *slog.Logger) *dropLog {
	return &dropLog{Handler: log.Handler(), by: map[string]int{
		"malformed": 0, "forged": 0, "old": 0, "replayed": 0, "expired": 0, "unexpected": 0,
	}}
}

func (d *dropLog) Enabled(context.Context, slog.Level) bool { return true }

func (d *dropLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "message dropped" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "reason" {
				d.mu.Lock()
				d.by[a.Value.String()]++
				d.mu.Unlock()
			}
			return true
		})
	}
	if !d.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return d.Handler.Handle(ctx, r)
}

// dropped returns how many messages the link has dropped since its start, by reason.
func (b *hub) dropped() map[string]int {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return maps.Clone(b.log.by)
}
