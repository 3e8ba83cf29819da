package boltfile_test

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// TestAClosureMayRunAgain makes a closure run again by the failure of another in its group, or by the build tag
// twice. The value of its last run counts, and the changes of the others are gone.
func TestAClosureMayRunAgain(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "a.db"))
	runs := 0
	n, err := boltfile.Update(f, func(tx *bbolt.Tx) (uint64, error) {
		runs++
		return tx.Bucket(things).NextSequence()
	})
	if err != nil || n != 1 {
		t.Errorf("the first number is %d, %v, after %d runs", n, err, runs)
	}
	if got, err := boltfile.View(f, func(tx *bbolt.Tx) (uint64, error) {
		return tx.Bucket(things).Sequence(),
			nil
	}); err != nil ||
		got != 1 {
		t.Errorf("%d runs have left the number %d, %v", runs, got, err)
	}
}

func TestAnErrorComesWithoutAValue(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "a.db"))
	failure := errors.New("no")
	if n, err := boltfile.Update(f, func(*bbolt.Tx) (int, error) { return 7, failure }); n != 0 ||
		!errors.Is(err, failure) {
		t.Errorf("update: %d, %v", n, err)
	}
	if n, err := boltfile.View(f, func(*bbolt.Tx) (int, error) { return 7, failure }); n != 0 || !errors.Is(err, failure) {
		t.Errorf("view: %d, %v", n, err)
	}
}
