package boltfile_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// TestTheWalkAcceptsEachLayoutOfBbolt: the walk over the pages demands bbolt's exact layout. Random changes, deletions
// and nested buckets must never make a sound file look damaged.
func TestTheWalkAcceptsEachLayoutOfBbolt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(memory(t), "a.db")
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for range 5 {
			if err := f.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket(things), r) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// change writes and deletes about a hundred keys of a bucket, and of a bucket in it.
func change(b *bbolt.Bucket, r *rand.Rand) error {
	nested, err := b.CreateBucketIfNotExists([]byte("nested"))
	if err != nil {
		return err
	}
	from := r.IntN(2000)
	for i := range 100 {
		in, key := b, fmt.Appendf(nil, "%04d", from+i)
		if r.IntN(2) == 0 {
			in = nested
		}
		if r.IntN(5) < 2 {
			err = in.Delete(key)
		} else {
			err = in.Put(key, bytes.Repeat([]byte{1}, r.IntN(1+r.IntN(6000))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
