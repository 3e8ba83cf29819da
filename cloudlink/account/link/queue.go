package link

import (
	"context"
	"runtime"
	"sync"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// queues hold the messages of members that wait for a worker. Each member's messages are taken in order, by one worker
// at a time. A queue exists only while a message of its member waits or is being answered: nothing is kept between two
// messages.
type queues struct {
	take func(member string, raw []byte)

	mu    sync.Mutex // guards by, and what waits in each
	by    map[string]*queue
	ready chan *queue
}

type queue struct {
	member  string
	waiting [][]byte
}

const (
	maxQueues  = 20_000 // members with a message at the same time
	maxWaiting = 64     // messages of one member: an honest one has one request, and answers to apps
)

func newQueues(take func(member string, raw []byte)) *queues {
	return &queues{take: take, by: map[string]*queue{}, ready: make(chan *queue, maxQueues)}
}

func (q *queues) start(ctx context.Context, parts *sync.WaitGroup) {
	for range max(2, runtime.GOMAXPROCS(0)) {
		parts.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case one := <-q.ready:
					q.drain(ctx, one)
				}
			}
		})
	}
}

// add queues a message of an outbox. It returns false where there is no room: the sender repeats it.
func (q *queues) add(m mqtt.Message, member string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	one := q.by[member]
	switch {
	case one == nil && len(q.by) >= maxQueues, one != nil && len(one.waiting) >= maxWaiting:
		return false
	case one == nil:
		one = &queue{member: member}
		q.by[member] = one
		q.ready <- one // has room for every queue
	}
	one.waiting = append(one.waiting, m.Payload)
	return true
}

// drain takes the messages of a member until none waits or ctx ends, and deletes the queue. Messages that are left
// then are lost: their sender repeats them, and the next run must find no queue that no worker has.
func (q *queues) drain(ctx context.Context, one *queue) {
	for {
		q.mu.Lock()
		if len(one.waiting) == 0 || ctx.Err() != nil {
			delete(q.by, one.member)
			q.mu.Unlock()
			return
		}
		raw := one.waiting[0]
		one.waiting = one.waiting[1:]
		q.mu.Unlock()
		q.take(one.member, raw)
	}
}

// outbox returns the member whose outbox the topic is.
func outbox(topic string) (member string, ok bool) {
	t, ok := wire.ParseTopic(topic)
	return t.Name, ok && t.Leaf == "outbox"
}
