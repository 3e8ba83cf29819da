package account

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestHashesAtOnceFitIntoTheMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	p := DefaultPolicy() // 19 MiB a hash
	for _, c := range []struct {
		limit int64
		want  int
	}{
		{1, 1}, {64 << 20, 1}, {128 << 20, 1}, {160 << 20, 2}, {256 << 20, 3}, {1 << 30, 4}, {math.MaxInt64, 4},
	} {
		debug.SetMemoryLimit(c.limit)
		if got := p.hashers(); got != c.want {
			t.Errorf("%d passwords are hashed at once with %d MiB, want %d", got, c.limit>>20, c.want)
		}
		if got := cap(NewHasher(p).slots); got != c.want {
			t.Errorf("there are %d slots with %d MiB, want %d", got, c.limit>>20, c.want)
		}
	}
	debug.SetMemoryLimit(math.MaxInt64)
	p.HashMemory = 4 << 20 // 4 GiB
	runtime.GOMAXPROCS(2)
	if got := p.hashers(); got != 2 {
		t.Errorf("%d passwords are hashed at once on two processors without a limit, want 2", got)
	}
}
