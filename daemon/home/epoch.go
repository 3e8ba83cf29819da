package home

import (
	"fmt"
	"math"
	"slices"
)

// Epoch is the generation of an account's password: 1 when it was registered, one more at every change. It never goes
// back. 0 is no epoch.
type Epoch uint64

// LastEpoch has no successor.
const LastEpoch Epoch = math.MaxUint64

// Next returns the epoch after e. It refuses with ErrNoEpoch after LastEpoch: never in honest use, and a wrap would
// revive every old message.
func (e Epoch) Next() (Epoch, error) {
	if e == LastEpoch {
		return e, fmt.Errorf("after epoch %d: %w", uint64(e), ErrNoEpoch)
	}
	return e + 1, nil
}

// Succeeds reports whether e is the very next epoch after prev.
func (e Epoch) Succeeds(prev Epoch) bool { return prev != LastEpoch && e == prev+1 }

// withEpoch returns es with e, ascending and each once. es itself is not changed.
func withEpoch(es []Epoch, e Epoch) []Epoch {
	at, found := slices.BinarySearch(es, e)
	if found {
		return es
	}
	return slices.Insert(slices.Clone(es), at, e)
}
