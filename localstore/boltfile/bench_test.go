package boltfile_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// BenchmarkCommit compares ways to commit changes of several callers, each of whom begins its next change when the
// last is on disk. An operation is one change; commits/op is what a slow disk is asked for. The figures that decided
// for group commit are in the commit that added this.
func BenchmarkCommit(b *testing.B) {
	type update = func(func(*bbolt.Tx) error) error
	group := func(b *testing.B) update {
		f, err := boltfile.Open(filepath.Join(b.TempDir(), "a.db"), boltfile.Options{Migrations: one})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		return f.Update
	}
	batch := func(delay time.Duration) func(*testing.B) update {
		return func(b *testing.B) update {
			db, err := bbolt.Open(
				filepath.Join(b.TempDir(), "a.db"),
				0o600,
				&bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
			)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			db.MaxBatchDelay = delay
			if err := db.Update(one[0]); err != nil {
				b.Fatal(err)
			}
			return db.Batch
		}
	}
	for _, way := range []struct {
		name string
		open func(*testing.B) update
	}{
		{"group", group}, {"batch-10ms", batch(10 * time.Millisecond)}, {
			"batch-1ms",
			batch(time.Millisecond),
		}, {"batch-100us", batch(100 * time.Microsecond)},
	} {
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", way.name, callers), func(b *testing.B) {
				update := way.open(b)
				var wg sync.WaitGroup
				var commits sync.Map // by the number of the transaction
				b.ResetTimer()
				for c := range callers {
					wg.Go(func() {
						for i := c; i < b.N; i += callers {
							id := 0
							err := update(func(tx *bbolt.Tx) error {
								id = tx.ID()
								return tx.Bucket(things).
									Put(fmt.Appendf(nil, "%d", i%10_000), fmt.Appendf(nil, "value %d of some length, as a binding has", i))
							})
							if err != nil {
								b.Error(err)
								return
							}
							commits.Store(id, true)
						}
					})
				}
				wg.Wait()
				n := 0
				commits.Range(func(any, any) bool { n++; return true })
				b.ReportMetric(float64(n)/float64(b.N), "commits/op")
			})
		}
	}
}
