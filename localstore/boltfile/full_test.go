//go:build linux

package boltfile_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

func TestFullDiskLosesNothingThatWasWritten(t *testing.T) {
	if os.Getuid() != 0 {
		nettest.Missing(t, "not root: a small file system cannot be mounted")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		nettest.Missing(t, "no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 400<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.db")
	f := open(t, path)
	written := 0
	add := func() error {
		return f.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(things).Put(fmt.Append(nil, written), bytes.Repeat([]byte{'v'}, 5000))
		})
	}
	for ; written < 1000; written++ {
		if err := add(); err != nil {
			break
		}
	}
	if written < 10 || written == 1000 {
		t.Fatalf("%d records were written to a disk of one megabyte", written)
	}
	if err := add(); err == nil {
		t.Fatal("the disk is full, and no error")
	}
	if got := content(t, f); len(got) != written {
		t.Fatalf("%d records of %d", len(got), written)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := add(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, open(t, path)); len(got) != written+1 {
		t.Fatalf("%d records of %d", len(got), written+1)
	}
}
