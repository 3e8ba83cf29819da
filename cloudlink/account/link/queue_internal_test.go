package link

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
)

// The bound is on members with a message at the same time: a member that was answered takes no room.
func TestTheQueuesAreBoundedByActiveMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex // guards taken
		taken := 0
		q := newQueues(func(string, []byte) {
			mu.Lock()
			taken++
			mu.Unlock()
		})
		var parts sync.WaitGroup
		q.start(ctx, &parts)
		const members = 2*maxQueues + 1
		for i := range members {
			if !q.add(mqtt.Message{}, fmt.Sprint("hub-", i)) {
				t.Fatalf("member %d found no room", i)
			}
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if len(q.by) != 0 || taken != members {
			t.Errorf("%d queues are left, %d messages were taken", len(q.by), taken)
		}
		stop()
		parts.Wait()
	})
}

// Messages of one member are taken in their order, and one member's flood leaves room for others.
func TestAQueueKeepsItsOrderAndItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		release := make(chan struct{})
		var got []string
		q := newQueues(func(_ string, raw []byte) {
			<-release
			got = append(got, string(raw)) // one worker at a time has the member
		})
		var parts sync.WaitGroup
		q.start(ctx, &parts)
		accepted := 0
		for range 2 * maxWaiting {
			if q.add(mqtt.Message{Payload: fmt.Append(nil, accepted)}, "hub-a") {
				accepted++
			}
		}
		synctest.Wait()
		if accepted < maxWaiting || accepted > maxWaiting+1 { // one may be with the worker
			t.Errorf("%d messages of one member wait, want at most %d", accepted, maxWaiting)
		}
		close(release)
		synctest.Wait()
		for i, s := range got {
			if s != fmt.Sprint(i) {
				t.Fatalf("message %s at place %d", s, i)
			}
		}
		if len(got) != accepted {
			t.Errorf("%d of %d were taken", len(got), accepted)
		}
		stop()
		parts.Wait()
	})
}
