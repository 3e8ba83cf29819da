package link

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// A part of the program runs again after it failed. A run that ends while a member's messages are taken must not
// leave a queue behind that no worker of the next run has.
func TestAMemberIsAnsweredInTheRunAfterTheOneThatEndedDuringItsMessage(t *testing.T) {
	first, end := context.WithCancel(t.Context())
	taken := make(chan string, 4)
	q := newQueues(func(_ string, raw []byte) {
		end()
		taken <- string(raw)
	})
	var workers sync.WaitGroup
	q.start(first, &workers)
	if !q.add(mqtt.Message{Payload: []byte("in the first run")}, "hub") {
		t.Fatal("no room")
	}
	<-taken
	workers.Wait()

	second, stop := context.WithCancel(t.Context())
	q.start(second, &workers)
	defer workers.Wait()
	defer stop()
	if !q.add(mqtt.Message{Payload: []byte("in the second run")}, "hub") {
		t.Fatal("no room")
	}
	select {
	case <-taken:
	case <-time.After(time.Minute):
		t.Fatal("the message is never taken")
	}
}
