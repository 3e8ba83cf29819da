package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyARunningEngineIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if h.engine.Alive(ctx) == nil {
			t.Error("it answers before it runs")
		}
		h.run(func() { must(t, h.engine.Alive(t.Context())) })
		ctx, stop = context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if h.engine.Alive(ctx) == nil {
			t.Error("it answers after it has ended")
		}
	})
}

// The time here is real: a goroutine that waits for a lock is not durably blocked.
func TestAnEngineWhoseLockIsHeldIsNotAlive(t *testing.T) {
	h := newHouse(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.engine.Run(ctx) }()
	must(t, h.engine.Alive(ctx))
	release := h.engine.Hold()
	patience, enough := context.WithTimeout(ctx, 50*time.Millisecond)
	defer enough()
	if h.engine.Alive(patience) == nil {
		t.Error("it answers while its lock is held")
	}
	release()
	must(t, h.engine.Alive(ctx))
	stop()
	must(t, <-ended)
}
