package boltfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// lockWait is how long another process may hold the file before it counts as in use.
const lockWait = time.Second

// open opens the file that is at path, and locks it: alone for writing, with other readers for reading.
func open(path string, readOnly bool) (*bbolt.DB, error) {
	for {
		var opened os.FileInfo
		o := &bbolt.Options{
			Timeout:        lockWait,
			ReadOnly:       readOnly,
			FreelistType:   bbolt.FreelistMapType,
			NoFreelistSync: !readOnly,
		}
		o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode) // an empty file is made in create alone
			if err != nil {
				return nil, err
			}
			if opened, err = f.Stat(); err == nil && opened.Size() == 0 {
				err = errors.New("it is empty") // bbolt would begin anew
			}
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}
		db, err := bbolt.Open(path, 0o600, o)
		if err != nil {
			return nil, openError(path, err)
		}
		// While this process waited for the lock, another may have put a smaller file in the place of this one.
		if now, err := os.Stat(path); err != nil || os.SameFile(opened, now) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, openError(path, err)
		}
	}
}

// openError is a home.Error for what bbolt, the check of the pages, or the system reports of the file at path. An
// error that the system numbered is about the disk, the user or the process. Only the others are damage.
func openError(path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return &home.Error{
			Op:   "open " + path,
			Err:  home.ErrLocked,
			Hint: "stop the other rekeyd that uses this state, or choose another directory with --state",
		}
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return systemError("open "+path, path, err)
	}
	return Damaged(path, err)
}

// Damaged is the error of a file at path whose content cannot be used: home.ErrCorrupt with a hint.
func Damaged(path string, err error) error {
	return &home.Error{
		Op: "open " + path, Err: fmt.Errorf("%w: %w", home.ErrCorrupt, err),
		Hint: "put a copy from a backup in its place; to begin anew, move the file away: devices then have to be bound again",
	}
}

// health is the result of reading all pages of a sound file.
type health struct {
	size, free int64 // bytes
	spare      bool  // both meta pages are valid
}

// sound checks every page of a file, without bbolt.
func sound(path string) (health, error) {
	f, err := os.Open(path)
	if err != nil {
		return health{}, openError(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return health{}, openError(path, err)
	}
	if !st.Mode().IsRegular() {
		return health{}, Damaged(path, errNotRegular)
	}
	return soundPages(path, f, st.Size())
}

// soundPages checks the pages of a file of the given size.
func soundPages(path string, f io.ReaderAt, size int64) (health, error) {
	m, err := readMeta(f)
	if err == nil && size < m.bytes() {
		err = fmt.Errorf("it is cut short: %d bytes of %d", size, m.bytes())
	}
	if err != nil {
		return health{}, openError(path, err)
	}
	used, err := walkPages(f, m)
	if err != nil {
		return health{}, openError(path, err)
	}
	return health{size, size - used*m.pageSize, m.spare}, nil
}

var errNotRegular = errors.New("it is no regular file")

// openSound opens a file for reading, after every page was checked and its version is known to this program. It
// changes nothing.
func openSound(path string, o Options) (*bbolt.DB, health, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, health{}, &home.Error{
			Op:   "open " + path,
			Err:  home.ErrNotFound,
			Hint: "start the daemon once, with: rekeyd run",
		}
	case err != nil:
		return nil, health{}, openError(path, err)
	case !st.Mode().IsRegular():
		return nil, health{}, Damaged(path, errNotRegular)
	}
	// The lock comes first: a file that is just being written looks damaged. To open for reading touches the first two
	// pages only.
	db, err := open(path, true)
	if err != nil {
		return nil, health{}, err
	}
	h, err := sound(path)
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			v, err := versionOf(path, tx, o)
			if err != nil || v == 0 || o.Intact == nil {
				return err
			}
			if err := o.Intact(tx, v); err != nil {
				return Damaged(path, err)
			}
			return nil
		})
	}
	if err != nil {
		return nil, health{}, errors.Join(err, db.Close())
	}
	return db, h, nil
}

// examine reports whether the file is sound and of a version that this program knows. It changes nothing.
func examine(path string, o Options) (health, error) {
	db, h, err := openSound(path, o)
	if err != nil {
		return h, err
	}
	return h, db.Close()
}

// worthwhile is how many bytes of free pages a file may keep. bbolt reuses them, but never gives them back.
const worthwhile = 4 << 20

// worthCompacting reports whether most of the file is free.
func (h health) worthCompacting() bool { return h.free >= worthwhile && h.free > h.size/2 }

// compact puts a smaller file in the place of db's, which is locked for writing and is closed after that. What goes
// wrong leaves the old one as it was.
func compact(path string, db *bbolt.DB) error {
	tmp, err := tempFile(path)
	if err != nil {
		return err
	}
	dst, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockWait, NoSync: true, NoFreelistSync: true})
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	err = bbolt.Compact(dst, db, 1<<20)
	if err = errors.Join(err, dst.Sync(), dst.Close()); err == nil {
		_, err = sound(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// tempMark is in the names of files that are not whole yet.
const tempMark = ".new-"

func tempFile(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempMark+"*") // mode 0600
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// sweep removes files that a crash left unfinished. The caller holds the lock on path.
func sweep(path string) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), filepath.Base(path)+tempMark) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
