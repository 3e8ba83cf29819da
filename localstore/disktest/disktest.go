// Package disktest has the faults of a disk, for the tests of stores.
package disktest

import (
	"bytes"
	"os"
	"testing"
)

// The faults that a fuzz input names.
const (
	FlipBit = iota
	CutShort
	SwapSectors
	ClearSector
	Faults
)

const sector = 512

// Spoiled returns raw with one fault.
func Spoiled(raw []byte, fault byte, at, with uint32) []byte {
	bad := bytes.Clone(raw)
	i, j := int(at)%len(raw), int(with)%len(raw)
	switch fault % Faults {
	case FlipBit:
		bad[i] ^= 1 << (with % 8)
	case CutShort:
		bad = bad[:i]
	case SwapSectors:
		i, j = i/sector*sector, j/sector*sector
		copy(bad[i:min(i+sector, len(bad))], raw[j:min(j+sector, len(raw))])
		copy(bad[j:min(j+sector, len(bad))], raw[i:min(i+sector, len(raw))])
	case ClearSector:
		i = i / sector * sector
		clear(bad[i:min(i+sector, len(bad))])
	}
	return bad
}

// Used returns the places of the bytes in raw that are not zero.
func Used(raw []byte) (places []uint32) {
	for i, b := range raw {
		if b != 0 {
			places = append(places, uint32(i))
		}
	}
	return places
}

// Dir returns a directory, in memory where that is possible: such tests write thousands of files.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rekeyd-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
