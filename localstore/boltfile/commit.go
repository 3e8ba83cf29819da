package boltfile

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// maxGroup is how many callers share a transaction at most.
const maxGroup = 256

// Update runs do in a write transaction and returns when it is on disk. Callers that come while a transaction is being
// written share the next one: it costs one sync for all. A lone caller waits for nobody. do may be run more than once, and
// only what its last run did counts; it must not call Update.
func (f *File) Update(do func(*bbolt.Tx) error) error {
	if f.readOnly {
		return fmt.Errorf("write %s: %w", f.path, errReadOnly)
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

// commit writes groups of jobs until the file is closed.
//
// Callers in a loop would split in two groups that take turns: one is written while the other waits. So it waits a moment for as many as there
// just were, a quarter at most of what the last commit took.
func (f *File) commit() {
	defer close(f.done)
	expected, patience := 1, time.Duration(0)
	for first := range f.jobs {
		group := f.gather([]*job{first}, expected, patience)
		begun := time.Now()
		f.write(group)
		patience = time.Since(begun) / 4
		expected = min(len(group)+len(f.jobs), maxGroup)
		for _, j := range group {
			close(j.end)
		}
	}
}

// gather adds to the group what waits, and waits for expected of them no longer than patience.
func (f *File) gather(group []*job, expected int, patience time.Duration) []*job {
	var late <-chan time.Time
	for len(group) < maxGroup {
		select {
		case j, ok := <-f.jobs:
			if !ok {
				return group
			}
			group = append(group, j)
			continue
		default:
		}
		if len(group) >= expected {
			return group
		}
		if late == nil {
			late = time.After(patience)
		}
		select {
		case j, ok := <-f.jobs:
			if !ok {
				return group
			}
			group = append(group, j)
		case <-late:
			return group
		}
	}
	return group
}

// write runs the jobs in one transaction. One that fails must leave nothing behind, and its changes cannot be told from the others': so the
// transaction is begun again without it.
func (f *File) write(group []*job) {
	left := group
	for len(left) > 0 {
		var failed *job
		err := f.db.Update(func(tx *bbolt.Tx) error {
			for _, j := range left {
				if err := run(j, tx); err != nil {
					failed = j
					return err
				}
			}
			if st := tx.Stats(); st.GetNodeCount() == 0 {
				return errUnchanged
			}
			return nil
		})
		if err == nil || errors.Is(err, errUnchanged) {
			return
		}
		if failed == nil { // the commit itself: nobody's changes are on disk
			for _, j := range left {
				j.err = fmt.Errorf("write %s: %w", f.path, err)
			}
			return
		}
		failed.err = err
		next := make([]*job, 0, len(left)-1)
		for _, j := range left {
			if j != failed {
				next = append(next, j)
			}
		}
		left = next
	}
}

// errUnchanged ends a transaction in which nobody changed anything: bbolt reads a page into a node before it changes it, and there are none.
// A commit would wear the flash for nothing.
var errUnchanged = errors.New("nothing has changed")

// run runs one job; a panic of its own is its error, not the others'.
func run(j *job, tx *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("write: " + fmt.Sprint(p))
		}
	}()
	return j.do(tx)
}
