package app

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
)

func TestMemoryIsLimitedByTheMachine(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	LimitMemory(slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got == math.MaxInt64 || got < 8<<20 {
		t.Errorf("limit %d bytes", got)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv("GOMEMLIMIT", "40MiB") // the runtime has read it at the start of a real process
	LimitMemory(slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("the owner's own limit became %d bytes", got)
	}
}
