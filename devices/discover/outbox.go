package discover

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// outbox keeps sightings until their reader has time: the newest of each thing.
type outbox struct {
	mu      sync.Mutex // guards waiting
	waiting map[string]home.Sighting
	filled  chan struct{}
}

func newOutbox() *outbox {
	return &outbox{waiting: map[string]home.Sighting{}, filled: make(chan struct{}, 1)}
}

// maxWaiting bounds the sightings that wait. It is reached only by a flood under the keys of bound devices.
const maxWaiting = 4 * defaultLimit

// put adds sightings, each in place of an older one of the same source and weakest key.
func (o *outbox) put(list []home.Sighting) {
	if len(list) == 0 {
		return
	}
	o.mu.Lock()
	for _, s := range list {
		key := s.Source + " " + s.Keys[len(s.Keys)-1]
		if _, known := o.waiting[key]; known || len(o.waiting) < maxWaiting {
			o.waiting[key] = s
		}
	}
	o.mu.Unlock()
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// run passes the waiting sightings to see, one batch at a time, until ctx ends.
func (o *outbox) run(ctx context.Context, see func([]home.Sighting)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.filled:
		}
		o.mu.Lock()
		batch := make([]home.Sighting, 0, len(o.waiting))
		for _, s := range o.waiting {
			batch = append(batch, s)
		}
		clear(o.waiting)
		o.mu.Unlock()
		slices.SortFunc(batch, func(a, b home.Sighting) int {
			return cmp.Or(a.At.Compare(b.At), slices.Compare(a.Keys, b.Keys))
		})
		if len(batch) > 0 {
			see(batch)
		}
	}
}
