// Package boltfile opens a bbolt file so that nothing is lost and nobody else's file is touched: created whole or not at all,
// refused when it is in use, damaged, or from a newer version, migrated in one transaction, and written with group commit.
// It knows nothing of what is in the file.
package boltfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what Open needs to know of the file.
type Options struct {
	// Migrations bring the file from each version to the next, the first from an empty file to version 1. The slice only grows.
	Migrations []func(*bbolt.Tx) error
}

// File is an open file. It is safe for use by several goroutines.
type File struct {
	db   *bbolt.DB
	path string
	jobs chan *job
	done chan struct{}

	mu     sync.RWMutex // guards closed; held while a job is handed over
	closed bool
}

// job is one caller's part of a transaction.
type job struct {
	do  func(*bbolt.Tx) error
	err error
	end chan struct{}
}

var (
	metaBucket = []byte("meta")
	versionKey = []byte("version")
)

// lockWait is how long another process may hold the file before it counts as in use.
const lockWait = time.Second

// Open opens the file at path, mode 0600, and makes it where there is none. Errors: home.ErrLocked, home.ErrCorrupt and
// home.ErrNewer, each a home.Error with a hint; the file is then as it was.
func Open(path string, o Options) (*File, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, &home.Error{Op: "open " + path, Err: err, Hint: "see that this user may read and write it"}
	}
	if err := examine(path, o); err != nil {
		return nil, err
	}
	compact(path)
	db, err := open(path, false)
	if err != nil {
		return nil, err
	}
	f := &File{db: db, path: path, jobs: make(chan *job, maxGroup), done: make(chan struct{})}
	if err := f.migrate(o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go f.commit()
	return f, nil
}

func open(path string, readOnly bool) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType, NoFreelistSync: !readOnly})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, &home.Error{Op: "open " + path, Err: home.ErrLocked, Hint: "stop the other rekeyd that uses this state, or choose another directory with --state"}
	case errors.Is(err, fs.ErrPermission):
		return nil, &home.Error{Op: "open " + path, Err: err, Hint: "see that this user may read and write it"}
	}
	return nil, corrupt(path, err)
}

func corrupt(path string, err error) error {
	return &home.Error{
		Op: "open " + path, Err: fmt.Errorf("%w: %w", home.ErrCorrupt, err),
		Hint: "put a copy from a backup in its place; to begin anew, move the file away: devices then have to be bound again",
	}
}

// create makes an empty file whole: a crash leaves either none or a good one.
func create(path string) error {
	wrap := func(err error) error {
		return &home.Error{Op: "create " + path, Err: err, Hint: "see that the directory exists and this user may write to it"}
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap(err)
	}
	db, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return wrap(err)
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		return wrap(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return wrap(err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// examine opens the file for reading only, and tells whether it is sound and of a version that this program knows. It changes nothing.
func examine(path string, o Options) (err error) {
	if err := precheck(path); err != nil {
		return err
	}
	db, err := open(path, true)
	if err != nil {
		return err
	}
	defer func() {
		// A damaged page makes bbolt panic; here it is in this goroutine, and nothing was written.
		if p := recover(); p != nil {
			err = corrupt(path, fmt.Errorf("%v", p))
		}
		_ = db.Close()
	}()
	return db.View(func(tx *bbolt.Tx) error {
		if v := versionOf(tx); v > uint64(len(o.Migrations)) {
			return &home.Error{
				Op: "open " + path, Err: fmt.Errorf("%w: it has format %d, this program knows %d", home.ErrNewer, v, len(o.Migrations)),
				Hint: "use the newer rekeyd again, or another directory with --state",
			}
		}
		return walk(path, tx)
	})
}

func versionOf(tx *bbolt.Tx) uint64 {
	b := tx.Bucket(metaBucket)
	if b == nil {
		return 0
	}
	v := b.Get(versionKey)
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

// migrate brings the file to the newest version, all in one transaction.
func (f *File) migrate(o Options) error {
	from := uint64(0)
	if err := f.db.View(func(tx *bbolt.Tx) error { from = versionOf(tx); return nil }); err != nil {
		return corrupt(f.path, err)
	}
	if from == uint64(len(o.Migrations)) {
		return nil
	}
	return f.db.Update(func(tx *bbolt.Tx) error {
		for i, m := range o.Migrations[from:] {
			if err := m(tx); err != nil {
				return fmt.Errorf("bring %s from format %d to %d: %w", f.path, from+uint64(i), from+uint64(i)+1, err)
			}
		}
		b, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(versionKey, binary.BigEndian.AppendUint64(nil, uint64(len(o.Migrations))))
	})
}

// View runs do in a read transaction. It must not wait for anything in there, and copies out what it returns.
func (f *File) View(do func(*bbolt.Tx) error) error { return f.db.View(do) }

// Snapshot writes a copy of the file, as it is now, to w. Others may go on writing.
func (f *File) Snapshot(w io.Writer) error {
	return f.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Check walks the whole file and returns home.ErrCorrupt where it is not sound.
func (f *File) Check() error {
	return f.db.View(func(tx *bbolt.Tx) error {
		return walk(f.path, tx)
	})
}

// Close waits for what was begun and closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	close(f.jobs)
	f.mu.Unlock()
	<-f.done
	return f.db.Close()
}

var errClosed = fmt.Errorf("file is closed: %w", context.Canceled)
