package daemon

import (
	"container/heap"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// schedule says when which device is to be looked at. A device stands in it once, at the earliest time that was asked
// for.
type schedule struct {
	at   map[home.DeviceID]time.Time
	heap dueHeap // may hold times that at no longer does
}

type due struct {
	id home.DeviceID
	at time.Time
}

func (s *schedule) add(id home.DeviceID, at time.Time) {
	if old, ok := s.at[id]; ok && !at.Before(old) {
		return
	}
	if s.at == nil {
		s.at = map[home.DeviceID]time.Time{}
	}
	s.at[id] = at
	heap.Push(&s.heap, due{id, at})
}

// pop takes out a device whose time has come.
func (s *schedule) pop(now time.Time) (home.DeviceID, bool) {
	for len(s.heap) > 0 {
		d := s.heap[0]
		current := s.at[d.id].Equal(d.at)
		if current && d.at.After(now) {
			return "", false
		}
		heap.Pop(&s.heap)
		if current {
			delete(s.at, d.id)
			return d.id, true
		}
	}
	return "", false
}

// next returns when the next device is due, or last when that is earlier.
func (s *schedule) next(last time.Time) time.Time {
	if len(s.heap) > 0 && s.heap[0].at.Before(last) {
		return s.heap[0].at
	}
	return last
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
