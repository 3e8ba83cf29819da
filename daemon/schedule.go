package daemon

import (
	"container/heap"
	"time"
)

// schedule holds the time at which each of its entries is due: one time an entry, the earliest that was asked for.
type schedule[K comparable] struct {
	at   map[K]time.Time
	heap dueHeap[K] // also contains times that at does not hold any more
}

type due[K comparable] struct {
	key K
	at  time.Time
}

// add makes k due at the given time, unless it is due earlier.
func (s *schedule[K]) add(k K, at time.Time) {
	if old, ok := s.at[k]; !ok || at.Before(old) {
		s.set(k, at)
	}
}

// set makes k due at the given time.
func (s *schedule[K]) set(k K, at time.Time) {
	if s.at == nil {
		s.at = map[K]time.Time{}
	}
	s.at[k] = at
	if len(s.heap) > 2*len(s.at)+64 { // of entries that were removed, or set again
		s.heap = s.heap[:0]
		for k, at := range s.at {
			s.heap = append(s.heap, due[K]{k, at})
		}
		heap.Init(&s.heap)
		return
	}
	heap.Push(&s.heap, due[K]{k, at})
}

// remove returns when k was due; ok is false where it was not in the schedule.
func (s *schedule[K]) remove(k K) (at time.Time, ok bool) {
	at, ok = s.at[k]
	delete(s.at, k)
	return at, ok
}

// pop removes and returns an entry that is due.
func (s *schedule[K]) pop(now time.Time) (k K, ok bool) {
	if at, ok := s.first(); !ok || at.After(now) {
		return k, false
	}
	k = heap.Pop(&s.heap).(due[K]).key
	delete(s.at, k)
	return k, true
}

// first returns when the first entry is due.
func (s *schedule[K]) first() (at time.Time, ok bool) {
	for len(s.heap) > 0 {
		d := s.heap[0]
		if at, ok := s.at[d.key]; ok && at.Equal(d.at) {
			return at, true
		}
		heap.Pop(&s.heap)
	}
	return time.Time{}, false
}

// next returns when the first entry is due, or last where that is earlier.
func (s *schedule[K]) next(last time.Time) time.Time {
	if at, ok := s.first(); ok && at.Before(last) {
		return at
	}
	return last
}

type dueHeap[K comparable] []due[K]

func (h dueHeap[K]) Len() int           { return len(h) }
func (h dueHeap[K]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap[K]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap[K]) Push(x any)        { *h = append(*h, x.(due[K])) }
func (h *dueHeap[K]) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
