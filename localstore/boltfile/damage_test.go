package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// sample returns the bytes of a sound file with every sort of page: branches, leaves, overflow, inline and nested
// buckets, free pages.
func sample(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	f := open(t, path)
	err := f.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(things)
		for i := range 300 {
			if err := b.Put(fmt.Appendf(nil, "key-%04d", i), bytes.Repeat([]byte{'v'}, 60)); err != nil {
				return err
			}
		}
		if err := b.Put([]byte("large"), bytes.Repeat([]byte{'l'}, 9000)); err != nil {
			return err
		}
		small, err := tx.CreateBucket([]byte("small"))
		if err != nil {
			return err
		}
		nested, err := small.CreateBucket([]byte("nested"))
		if err != nil {
			return err
		}
		return nested.Put([]byte("k"), []byte("v"))
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "key-0001", "changed")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

// memory returns a folder in memory where there is one: many files are written here, and no crash is tried.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "boltfile-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// try opens a file with these bytes, as a whole start does, and reads and writes it. It returns whether it was
// refused. A signal or a panic ends the test binary.
func try(t testing.TB, path string, raw []byte) (refused bool) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
	if err != nil {
		if (!errors.Is(err, home.ErrCorrupt) && !errors.Is(err, home.ErrNewer)) || home.HintOf(err) == "" {
			t.Fatalf("refused with %v, hint %q", err, home.HintOf(err))
		}
		if !bytes.Equal(raw, read(t, path)) {
			t.Fatal("the refused file was changed")
		}
		return true
	}
	defer f.Close()
	if err := f.Check(); err != nil {
		t.Fatalf("opened, and then: %v", err)
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(things); b != nil { // its name may be what was damaged
			return b.Put([]byte("after"), []byte("v"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return false
}

func TestDamagedFileIsRefusedOrSound(t *testing.T) {
	t.Parallel()
	raw, path := sample(t), filepath.Join(memory(t), "b.db")
	page := os.Getpagesize()
	refusals := 0
	flip := func(at int, with byte) {
		bad := bytes.Clone(raw)
		bad[at] ^= with
		if try(t, path, bad) {
			refusals++
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for start := 0; start < len(raw); start += page {
		used := bytes.TrimRight(raw[start:start+page], "\x00")
		for i := range min(len(used), 32) { // the head and the first elements: what bbolt trusts
			flip(start+i, []byte{1 << r.IntN(8), 0xFF}[i%2])
		}
		for range 4 {
			flip(start+r.IntN(page), byte(1+r.IntN(255)))
		}
	}
	if refusals < 50 {
		t.Fatalf("only %d of the damages were refused", refusals)
	}
}

func TestDamagedWordsAreRefusedOrSound(t *testing.T) {
	t.Parallel()
	raw, path := sample(t), filepath.Join(memory(t), "b.db")
	page := os.Getpagesize()
	for start := 2 * page; start < len(raw); start += page {
		for at := start; at < start+48; at += 4 {
			for _, word := range []uint32{2, 0xFFFFFFFF} {
				bad := bytes.Clone(raw)
				for i := range 4 {
					bad[at+i] = byte(word >> (8 * i))
				}
				try(t, path, bad)
			}
		}
	}
}

func TestFileCutShortIsRefused(t *testing.T) {
	t.Parallel()
	raw, path := sample(t), filepath.Join(memory(t), "b.db")
	page := os.Getpagesize()
	// A file may end in pages that are not in use: then nothing is missing. The longest that is refused follows from where
	// that begins.
	opened := 0
	for n := 0; n < len(raw); n += page / 2 {
		for _, n := range []int{n, n + 1, n + 17} {
			switch refused := try(t, path, raw[:n]); {
			case refused && opened > 0:
				t.Errorf("%d bytes do, %d do not", opened, n)
			case !refused:
				opened = n
			}
		}
	}
	if opened != 0 && opened < len(raw)*3/4 {
		t.Errorf("%d bytes of %d were opened", opened, len(raw))
	}
}

func TestWhatIsNoFileOfOursIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	garbage := make([]byte, 1<<16)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range garbage {
		garbage[i] = byte(r.Uint32())
	}
	for name, raw := range map[string][]byte{
		"empty": {}, "one byte": {0}, "zeros": make([]byte, 1<<16), "text": []byte("hello\n"), "garbage": garbage,
	} {
		if !try(t, path, raw) {
			t.Errorf("%s: opened", name)
		}
	}
	dir := t.TempDir()
	if _, err := boltfile.Open(dir, boltfile.Options{Migrations: one}); !errors.Is(err, home.ErrCorrupt) ||
		home.HintOf(err) == "" {
		t.Errorf("directory: %v", err)
	}
}

// FuzzOpen: whatever the bytes, a file is refused and left alone, or is sound.
func FuzzOpen(f *testing.F) {
	raw := sample(f)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(2*os.Getpagesize()+8), []byte{1, 0, 255, 255})
	path := filepath.Join(memory(f), "b.db")
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		bad := bytes.Clone(raw)
		copy(bad[int(at)%len(bad):], with)
		try(t, path, bad)
	})
}

// A crash in the middle of a commit tears the meta page that was being written. The other one still leads to all that
// came before; and a second crash, of the other page, must find the first one whole again.
func TestTornMetaPageIsMadeGood(t *testing.T) {
	page := os.Getpagesize()
	tear := func(path string, n int) {
		raw := read(t, path)
		clear(raw[n*page : n*page+512])
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for first := range 2 {
		path := filepath.Join(t.TempDir(), "a.db")
		f := open(t, path)
		put(t, f, "before", "v")
		put(t, f, "last", "v")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		tear(path, first)
		f = open(t, path)
		kept := content(t, f)
		if kept["before"] != "v" {
			t.Fatalf("torn page %d: %v", first, kept)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		tear(path, 1-first)
		f = open(t, path)
		if got := content(t, f); len(got) != len(kept) {
			t.Errorf("torn page %d, then %d: %v, want %v", first, 1-first, got, kept)
		}
		if err := f.Check(); err != nil {
			t.Error(err)
		}
	}
}
