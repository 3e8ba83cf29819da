package boltfile

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// reserve is how many bytes of free pages a file has before its first change. bbolt writes changes to free pages first:
// so when the disk is full, the last records can still be written.
const reserve = 64 << 10

var (
	reserveKey = []byte("reserve")
	triedKey   = []byte("tried")
)

// reserve makes free pages: a large record is written and deleted again, each time on disk. Where there is no room for
// it, the file serves without them.
func (f *File) reserve() {
	err := f.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(reserveKey, make([]byte, reserve))
	})
	if err == nil {
		_ = f.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(reserveKey) })
	}
}

// Writable returns nil when the last change was written, or another one can be written now.
func (f *File) Writable() error {
	if f.failed.Load() == nil {
		return nil
	}
	return f.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(metaBucket)
		return b.Put(triedKey, Key(Number(b.Get(triedKey))+1))
	})
}

// Trouble describes the failure of the last change for people, with the path; ok is false where it was written.
func (f *File) Trouble() (trouble home.Trouble, ok bool) {
	err := f.failed.Load()
	if err == nil {
		return trouble, false
	}
	for _, s := range systemErrors {
		if errors.Is(err, s.errno) {
			return home.Trouble{What: s.cause + " (" + f.path + ")", Hint: err.Hint}, true
		}
	}
	return home.TroubleOf(err), true
}
