package daemon

import (
	"context"
	"slices"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reports is the queue of devices whose row may have changed. Rows are made when the queue is drained, so a slow
// callback gets the newest row of each device, and delays nothing but its own reports.
type reports struct {
	mu      sync.Mutex // guards ids; never held over I/O or while the callback runs
	ids     map[home.DeviceID]bool
	waiting chan struct{} // has room for one: more devices need no second signal

	published map[home.DeviceID]Row // the last row of each device; used by drain only
}

func newReports() *reports {
	return &reports{ids: map[home.DeviceID]bool{}, waiting: make(chan struct{}, 1), published: map[home.DeviceID]Row{}}
}

// add queues devices.
func (q *reports) add(ids ...home.DeviceID) {
	q.mu.Lock()
	for _, id := range ids {
		q.ids[id] = true
	}
	q.mu.Unlock()
	select {
	case q.waiting <- struct{}{}:
	default:
	}
}

// drain calls publish for each row that has changed, one at a time, until ctx ends. A device that was bound and has no
// row any more is reported as one that is not bound.
func (q *reports) drain(ctx context.Context, rowsOf func([]home.DeviceID) ([]Row, error), publish func(Row)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.waiting:
		}
		q.mu.Lock()
		ids := make([]home.DeviceID, 0, len(q.ids))
		for id := range q.ids {
			ids = append(ids, id)
		}
		clear(q.ids)
		q.mu.Unlock()
		for len(ids) > 0 && ctx.Err() == nil {
			// A few at a time: publish may take long, and the rows of the rest are to be the newest then.
			some := ids[:min(len(ids), 64)]
			ids = ids[len(some):]
			rows, err := rowsOf(some)
			if err != nil {
				continue // logged; the next change reports them
			}
			for _, row := range q.forget(some, rows) {
				publish(row)
			}
			for _, row := range rows {
				if q.published[row.ID] != row && ctx.Err() == nil {
					q.published[row.ID] = row
					publish(row)
				}
			}
		}
	}
}

// forget drops the published rows of devices that have none any more, and returns those that were bound, unbound.
func (q *reports) forget(ids []home.DeviceID, rows []Row) (gone []Row) {
	for _, id := range ids {
		if slices.ContainsFunc(rows, func(r Row) bool { return r.ID == id }) {
			continue
		}
		if old := q.published[id]; old.Bound {
			gone = append(gone, Row{ID: id, Name: old.Name, Kind: old.Kind, Protocol: old.Protocol})
		}
		delete(q.published, id)
	}
	return gone
}
