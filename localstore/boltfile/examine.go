package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// precheck looks at what bbolt trusts when it maps the file: a file that is shorter than its pages ends in a signal that nothing
// can catch.
func precheck(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return corrupt(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return corrupt(path, errors.New("it is no regular file"))
	}
	want, ok := extent(f)
	switch {
	case !ok:
		return corrupt(path, errors.New("neither of its first two pages is valid"))
	case st.Size() < want:
		return corrupt(path, fmt.Errorf("it is cut short: %d bytes of %d", st.Size(), want))
	}
	return nil
}

// The meta page as bbolt 1.x writes it, in the machine's byte order: a page header of 16 bytes; then magic, version, page size and flags as
// uint32; root page, sequence, free list, number of pages, transaction and checksum (FNV-1a of what is before) as uint64.
const (
	metaAt    = 16
	metaSize  = 64
	metaMagic = 0xED0CDAED
)

// extent returns how many bytes the pages of the file take, by its newest valid meta page.
func extent(f io.ReaderAt) (bytes int64, ok bool) {
	newest := uint64(0)
	// The second meta page is on page 1; where the first is damaged, its size is not known.
	for _, at := range []int64{0, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16} {
		m := make([]byte, metaSize)
		if _, err := f.ReadAt(m, at+metaAt); err != nil {
			continue
		}
		e := binary.NativeEndian
		h := fnv.New64a()
		_, _ = h.Write(m[:56])
		size, pages, tx := int64(e.Uint32(m[8:])), e.Uint64(m[40:]), e.Uint64(m[48:])
		if e.Uint32(m) != metaMagic || e.Uint64(m[56:]) != h.Sum64() || (at != 0 && at != size) || pages > 1<<40 {
			continue
		}
		if !ok || tx >= newest {
			newest, bytes, ok = tx, int64(pages)*size, true
		}
	}
	return bytes, ok
}

// walk checks every page, so that a damaged one shows here and not later, in a goroutine of bbolt's.
func walk(path string, tx *bbolt.Tx) error {
	var errs []error
	for err := range tx.Check() {
		if len(errs) < 3 {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return corrupt(path, errors.Join(errs...))
	}
	return nil
}

// worthwhile is how many bytes of free pages a file may keep. bbolt reuses them, but never gives them back.
const worthwhile = 4 << 20

// compact makes the file smaller where more than half of it is free, by way of a new file. What goes wrong leaves the old one as it was.
func compact(path string) {
	src, err := open(path, true)
	if err != nil {
		return // the caller opens it next, and says so
	}
	defer src.Close()
	var size, free int64
	_ = src.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		free = int64(src.Stats().FreePageN) * int64(src.Info().PageSize)
		return nil
	})
	if free < worthwhile || free < size/2 {
		return
	}
	tmp := path + ".new"
	_ = os.Remove(tmp)
	dst, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockWait, NoSync: true})
	if err != nil {
		return
	}
	err = bbolt.Compact(dst, src, 1<<20)
	if err = errors.Join(err, dst.Sync(), dst.Close()); err != nil || precheck(tmp) != nil {
		_ = os.Remove(tmp)
		return
	}
	if os.Rename(tmp, path) == nil {
		_ = syncDir(filepath.Dir(path))
	}
}
