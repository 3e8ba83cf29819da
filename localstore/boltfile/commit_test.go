package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

func TestCallersShareACommitAndFailAlone(t *testing.T) { synctest.Test(t, callersShareACommit) }

func callersShareACommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	f := open(t, path)
	const callers = 200
	failure := errors.New("not this one")
	var mu sync.Mutex
	commits := map[int]bool{}
	var wg sync.WaitGroup
	first := make(chan struct{}) // its transaction stays open until all the others wait
	wg.Go(func() {
		if err := f.Update(func(*bbolt.Tx) error { <-first; return nil }); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	for i := range callers {
		wg.Go(func() {
			last := 0
			err := f.Update(func(tx *bbolt.Tx) error {
				last = tx.ID()
				if err := tx.Bucket(things).Put(fmt.Append(nil, i), []byte("v")); err != nil {
					return err
				}
				switch i % 20 {
				case 7:
					return failure
				case 8:
					panic("boom")
				}
				return nil
			})
			switch i % 20 {
			case 7:
				if !errors.Is(err, failure) {
					t.Errorf("caller %d: %v, want its own error", i, err)
				}
			case 8:
				if err == nil || !strings.Contains(err.Error(), "boom") {
					t.Errorf("caller %d: %v, want its own panic", i, err)
				}
			default:
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
				mu.Lock()
				commits[last] = true
				mu.Unlock()
			}
		})
	}
	synctest.Wait()
	close(first)
	wg.Wait()
	if len(commits) != 1 {
		t.Errorf("%d commits for %d callers that waited at once", len(commits), callers)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := content(t, open(t, path))
	for i := range callers {
		if _, there := got[fmt.Sprint(i)]; there != (i%20 != 7 && i%20 != 8) {
			t.Errorf("caller %d: there is %v", i, there)
		}
	}
}

func TestWithoutAChangeNothingIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	f := open(t, path)
	put(t, f, "k", "v")
	before := read(t, path)
	for what, do := range map[string]func(*bbolt.Bucket) error{
		"look":                 func(b *bbolt.Bucket) error { b.Get([]byte("k")); return nil },
		"walk":                 func(b *bbolt.Bucket) error { return b.ForEach(func(_, _ []byte) error { return nil }) },
		"delete what is not":   func(b *bbolt.Bucket) error { return b.Delete([]byte("none")) },
		"bucket that is there": func(b *bbolt.Bucket) error { _, err := b.Tx().CreateBucketIfNotExists(things); return err },
	} {
		if err := f.Update(func(tx *bbolt.Tx) error { return do(tx.Bucket(things)) }); err != nil {
			t.Fatal(what, err)
		}
		if !bytes.Equal(before, read(t, path)) {
			t.Errorf("%s: the file was written", what)
		}
	}
	for what, do := range map[string]func(*bbolt.Bucket) error{
		"put":      func(b *bbolt.Bucket) error { return b.Put([]byte("k"), []byte("w")) },
		"delete":   func(b *bbolt.Bucket) error { return b.Delete([]byte("k")) },
		"bucket":   func(b *bbolt.Bucket) error { _, err := b.CreateBucket([]byte("new")); return err },
		"sequence": func(b *bbolt.Bucket) error { _, err := b.NextSequence(); return err },
		"number":   func(b *bbolt.Bucket) error { return b.SetSequence(77) },
	} {
		before := read(t, path)
		if err := f.Update(func(tx *bbolt.Tx) error { return do(tx.Bucket(things)) }); err != nil {
			t.Fatal(what, err)
		}
		if bytes.Equal(before, read(t, path)) {
			t.Errorf("%s: not written", what)
		}
	}
}

func TestMostlyFreeFileIsMadeSmallAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	f := open(t, path)
	err := f.Update(func(tx *bbolt.Tx) error {
		for i := range 1500 {
			if err := tx.Bucket(things).Put(fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte{1}, 6000)); err != nil {
				return err
			}
		}
		return tx.Bucket(things).SetSequence(42)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		for i := range 1490 {
			if err := tx.Bucket(things).Delete(fmt.Appendf(nil, "%04d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	was, _ := os.Stat(path)
	f = open(t, path)
	is, _ := os.Stat(path)
	if is.Size() > was.Size()/20 || is.Mode().Perm() != 0o600 {
		t.Errorf("%d bytes, mode %v; it had %d", is.Size(), is.Mode(), was.Size())
	}
	got := content(t, f)
	if len(got) != 10 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
	err = f.View(func(tx *bbolt.Tx) error {
		if n := tx.Bucket(things).Sequence(); n != 42 {
			t.Errorf("sequence %d, want 42", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "after", "v")
}

func TestSnapshotIsWholeWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	f := open(t, filepath.Join(dir, "a.db"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Two keys that always change together: a copy of two moments shows.
			err := f.Update(func(tx *bbolt.Tx) error {
				return errors.Join(
					tx.Bucket(things).Put([]byte("a"), fmt.Append(nil, i)),
					tx.Bucket(things).Put([]byte("z"), fmt.Append(nil, i)),
				)
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 10 {
		path := filepath.Join(dir, fmt.Sprintf("copy-%d.db", n))
		w, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Snapshot(w), w.Close()); err != nil {
			t.Fatal(err)
		}
		c, err := boltfile.Open(path, boltfile.Options{Migrations: one})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		if got := content(t, c); got["a"] != got["z"] {
			t.Errorf("copy of two moments: %v", got)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}
