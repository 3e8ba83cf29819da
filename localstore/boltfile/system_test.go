//go:build linux

package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// isSystem checks that err names the system's error, gives advice that contains the words, and is no damage.
func isSystem(t *testing.T, err error, want syscall.Errno, words string) {
	t.Helper()
	switch {
	case !errors.Is(err, want):
		t.Errorf("%v, want %v", err, want)
	case errors.Is(err, home.ErrCorrupt):
		t.Errorf("a whole file is called damaged: %v", err)
	case !strings.Contains(home.HintOf(err), words):
		t.Errorf("hint %q, want one with %q", home.HintOf(err), words)
	}
}

// smallDisk mounts a file system of one megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		nettest.Missing(t, "not root: a small file system cannot be mounted")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		nettest.Missing(t, "no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestAReadOnlyDiskIsNoDamage(t *testing.T) {
	dir := smallDisk(t)
	path := filepath.Join(dir, "a.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	_, err := boltfile.Open(path, boltfile.Options{Migrations: one})
	isSystem(t, err, syscall.EROFS, "read-only")
	_, err = boltfile.Open(filepath.Join(dir, "new.db"), boltfile.Options{Migrations: one})
	isSystem(t, err, syscall.EROFS, "read-only")
	f, err := boltfile.OpenReadOnly(path, boltfile.Options{Migrations: one})
	if err != nil {
		t.Fatalf("for reading: %v", err)
	}
	_ = f.Close()
}

func TestAFullDiskIsNamed(t *testing.T) {
	dir := smallDisk(t)
	path := filepath.Join(dir, "a.db")
	f := open(t, path)
	put(t, f, "first", "v")
	fill := filepath.Join(dir, "fill")
	_ = os.WriteFile(fill, make([]byte, 2<<20), 0o600) // as much as there is room for
	err := f.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(things).Put([]byte("large"), bytes.Repeat([]byte{'v'}, 200_000))
	})
	isSystem(t, err, syscall.ENOSPC, "make room")
	if !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v names neither cause nor file", err)
	}
	if trouble, ok := f.Trouble(); !ok || trouble.What != "the disk is full ("+path+")" || trouble.Hint == "" {
		t.Errorf("trouble %+v, %v", trouble, ok)
	}
	if err := f.Writable(); err != nil {
		t.Errorf("the reserve has no room for a small record: %v", err)
	}
	if trouble, ok := f.Trouble(); ok {
		t.Errorf("after a record was written: %+v", trouble)
	}
	for i := range 20 {
		put(t, f, fmt.Sprint("last record ", i), "v") // in the reserve
	}
	_, err = boltfile.Open(filepath.Join(dir, "new.db"), boltfile.Options{Migrations: one})
	isSystem(t, err, syscall.ENOSPC, "make room")
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	put(t, f, "small", "v")
}

func TestTooFewDescriptorsAreNoDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := boltfile.Open(path, boltfile.Options{Migrations: one})
	_, rerr := boltfile.OpenReadOnly(path, boltfile.Options{Migrations: one})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	isSystem(t, err, syscall.EMFILE, "ulimit -n")
	isSystem(t, rerr, syscall.EMFILE, "ulimit -n")
	open(t, path)
}

// failingDisk reports EIO from the given offset on.
type failingDisk struct {
	io.ReaderAt
	from int64
}

func (d failingDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.from {
		return 0, &os.PathError{Op: "read", Path: "a.db", Err: syscall.EIO}
	}
	return d.ReaderAt.ReadAt(p, off)
}

func TestAFailingDiskIsNoDamage(t *testing.T) {
	raw := sample(t)
	for from := int64(0); from < int64(len(raw)); from += int64(os.Getpagesize()) {
		err := boltfile.ReadPages("a.db", failingDisk{bytes.NewReader(raw), from})
		if err != nil { // the last pages may be free
			isSystem(t, err, syscall.EIO, "disk")
		} else if from < int64(2*os.Getpagesize()) {
			t.Errorf("an error from byte %d on was not noticed", from)
		}
	}
}
