// Package boltfile opens a bbolt file safely: it creates the file atomically, refuses one that is in use, damaged or
// from a newer version, migrates it in one transaction, and commits the changes of concurrent callers together. It
// also has the helpers for records and histories that the stores of this program share; it does not know what the
// records mean.
package boltfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Options are what Open needs to know of the file.
type Options struct {
	// Migrations bring the file from each version to the next, the first from an empty file to version 1. The slice only
	// grows.
	Migrations []func(*bbolt.Tx) error
	// Readable is the oldest version that OpenReadOnly accepts: its readers need nothing that a later migration brings.
	Readable uint64
	// Intact reports what is missing in a file of the given format. It may be nil, and runs before anything is written.
	Intact func(tx *bbolt.Tx, format uint64) error
}

// File is an open file. It is safe for use by several goroutines.
type File struct {
	db   *bbolt.DB
	path string
	jobs chan *job
	done chan struct{}

	readOnly bool

	failed atomic.Pointer[home.Error] // of the last commit, where that failed

	mu     sync.RWMutex // guards closed; held while a job is handed over
	closed bool
}

var (
	metaBucket = []byte("meta")
	versionKey = []byte("version")
)

// Open opens the file at path, and creates it with mode 0600 where there is none. Errors: home.ErrLocked,
// home.ErrCorrupt and home.ErrNewer, each a home.Error with a hint; the file is unchanged then.
func Open(path string, o Options) (*File, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, openError(path, err)
	}
	health, err := examine(path, o)
	if err != nil {
		return nil, err
	}
	db, err := open(path, false)
	if err != nil {
		return nil, err
	}
	// A compaction that fails, for lack of room on the disk, is no error: the large file serves as well.
	if health.worthCompacting() && compact(path, db) == nil {
		if err := db.Close(); err != nil {
			return nil, openError(path, err)
		}
		if db, err = open(path, false); err != nil {
			return nil, err
		}
	}
	sweep(path)
	if !health.spare {
		// A crash tore one of the two meta pages. They are written in turn: two commits make both good again.
		nop := func(*bbolt.Tx) error { return nil }
		if err := errors.Join(db.Update(nop), db.Update(nop)); err != nil {
			return nil, errors.Join(openError(path, err), db.Close())
		}
	}
	f := &File{db: db, path: path, jobs: make(chan *job, maxGroup), done: make(chan struct{})}
	if err := f.migrate(o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go f.commit(health.free < reserve)
	return f, nil
}

// OpenReadOnly opens the file at path for reading. Nothing on disk changes: the file is not made, migrated or
// repaired, and permission to read it is enough. Errors are those of Open; a version older than o.Readable is refused
// with a hint.
func OpenReadOnly(path string, o Options) (*File, error) {
	db, _, err := openSound(path, o)
	if err != nil {
		return nil, err
	}
	f := &File{db: db, path: path, readOnly: true}
	err = db.View(func(tx *bbolt.Tx) error {
		v, err := versionOf(path, tx, o)
		if err == nil && v < o.Readable {
			err = &home.Error{
				Op: "read " + path, Err: fmt.Errorf("its format %d is older than %d", v, o.Readable),
				Hint: "start the daemon once, with: rekeyd run; it brings the file to its own format",
			}
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

// create makes an empty file atomically: a crash leaves either no file or a sound one. The file of a process that was
// faster stays.
func create(path string) error {
	wrap := func(err error) error { return systemError("create "+path, path, err) }
	tmp, err := tempFile(path)
	if err != nil {
		return wrap(err)
	}
	defer os.Remove(tmp)
	db, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return wrap(err)
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		return wrap(err)
	}
	if err := os.Link(tmp, path); err != nil {
		if _, there := os.Stat(path); there == nil {
			return nil
		}
		if err := os.Rename(tmp, path); err != nil { // a file system without links, as on many memory cards
			return wrap(err)
		}
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

// versionOf returns the format of the file, 0 for an empty file. A format newer than the last migration is
// home.ErrNewer. A file that has content and no format belongs to another program: home.ErrCorrupt.
func versionOf(path string, tx *bbolt.Tx, o Options) (uint64, error) {
	b := tx.Bucket(metaBucket)
	if b == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return 0, Damaged(path, errors.New("it is not a file of this program"))
		}
		return 0, nil
	}
	raw := b.Get(versionKey)
	if len(raw) != 8 {
		return 0, Damaged(path, errors.New("it has no format number"))
	}
	v := binary.BigEndian.Uint64(raw)
	if v > uint64(len(o.Migrations)) {
		return v, &home.Error{
			Op: "open " + path, Err: fmt.Errorf("%w: it has format %d, this program knows %d", home.ErrNewer, v,
				len(o.Migrations)),
			Hint: "use the newer rekeyd again, or another directory with --state",
		}
	}
	return v, nil
}

// migrate brings the file to the newest version, all in one transaction.
func (f *File) migrate(o Options) error {
	newest := uint64(len(o.Migrations))
	var from uint64
	err := f.db.View(func(tx *bbolt.Tx) (err error) {
		from, err = versionOf(f.path, tx, o) // again: another process may have been here since it was examined
		return err
	})
	if err != nil || from == newest {
		return err
	}
	err = f.db.Update(func(tx *bbolt.Tx) error {
		for i, m := range o.Migrations[from:] {
			if err := m(tx); err != nil {
				return fmt.Errorf("bring %s from format %d to %d: %w", f.path, from+uint64(i), from+uint64(i)+1, err)
			}
		}
		b, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(versionKey, binary.BigEndian.AppendUint64(nil, newest))
	})
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return systemError("bring "+f.path+" to its newest format", f.path, err)
	}
	return err
}

// Snapshot writes a copy of the file in its present state to w. Writers are not held up.
func (f *File) Snapshot(w io.Writer) error {
	return f.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Check walks the whole file and returns home.ErrCorrupt where it is not sound. It reads a copy in memory: bbolt's own
// check finds damage that is none where another transaction is committed meanwhile.
func (f *File) Check() error {
	var copied bytes.Buffer
	if err := f.Snapshot(&copied); err != nil {
		return err
	}
	_, err := soundPages(f.path, bytes.NewReader(copied.Bytes()), int64(copied.Len()))
	return err
}

// CheckCopy returns home.ErrCorrupt where raw, which Snapshot wrote, is not a sound file.
func CheckCopy(raw []byte) error {
	_, err := soundPages("the copy", bytes.NewReader(raw), int64(len(raw)))
	return err
}

// Close waits for the transactions under way and closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	if f.readOnly {
		f.mu.Unlock()
		return f.db.Close()
	}
	close(f.jobs)
	f.mu.Unlock()
	<-f.done
	return f.db.Close()
}

var (
	errReadOnly = errors.New("file was opened for reading only")

	errClosed = fmt.Errorf("file is closed: %w", context.Canceled)
)
