package boltfile

import (
	"errors"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Update runs do in a write transaction and returns its value once the change is on disk. do may run more than once,
// and only its last run counts: it must return what it finds and not assign variables of its caller (build with -tags
// twice to run every closure a second time). It must not begin another transaction. An error comes with a zero value.
func Update[T any](f *File, do func(*bbolt.Tx) (T, error)) (T, error) {
	return result(f.Update, do)
}

// View runs do in a read transaction and returns its value. What bbolt returns is valid inside do only: copy it.
func View[T any](f *File, do func(*bbolt.Tx) (T, error)) (T, error) {
	return result(f.View, do)
}

func result[T any](run func(func(*bbolt.Tx) error) error, do func(*bbolt.Tx) (T, error)) (T, error) {
	var last, zero T
	err := run(func(tx *bbolt.Tx) (err error) {
		last, err = do(tx)
		return err
	})
	if err != nil {
		return zero, err
	}
	return last, nil
}

// Update is the function Update for a change without a result.
func (f *File) Update(do func(*bbolt.Tx) error) error {
	if f.readOnly {
		return errReadOnly
	}
	j := &job{do: do, end: make(chan struct{})}
	f.mu.RLock()
	if f.closed {
		f.mu.RUnlock()
		return errClosed
	}
	f.jobs <- j
	f.mu.RUnlock()
	<-j.end
	return j.err
}

// View is the function View without a result.
func (f *File) View(do func(*bbolt.Tx) error) error {
	err := f.db.View(do)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}
