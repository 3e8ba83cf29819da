package daemon

import (
	"context"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reports is the queue of changed rows for the callback. It holds the newest row of each device only, so a slow callback
// delays its own reports and nothing else.
type reports struct {
	mu      sync.Mutex // guards rows; never held while the callback runs
	rows    map[home.DeviceID]Row
	waiting chan struct{} // has room for one: more rows need no second signal
}

func newReports() *reports {
	return &reports{rows: map[home.DeviceID]Row{}, waiting: make(chan struct{}, 1)}
}

// add queues a row in place of an older one of the same device.
func (q *reports) add(row Row) {
	q.mu.Lock()
	q.rows[row.ID] = row
	q.mu.Unlock()
	select {
	case q.waiting <- struct{}{}:
	default:
	}
}

// drain calls publish for each queued row, one at a time, until ctx ends.
func (q *reports) drain(ctx context.Context, publish func(Row)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.waiting:
		}
		q.mu.Lock()
		rows := q.rows
		q.rows = map[home.DeviceID]Row{}
		q.mu.Unlock()
		for _, row := range rows {
			if ctx.Err() != nil {
				return
			}
			publish(row)
		}
	}
}
