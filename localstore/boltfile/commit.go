package boltfile

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// maxGroup is how many callers share a transaction at most.
const maxGroup = 256

// job is one caller's part of a transaction.
type job struct {
	do  func(*bbolt.Tx) error
	err error
	end chan struct{}
}

// commit writes groups of jobs until the file is closed. Callers that come while a transaction is written share the
// next one: it costs one sync for all of them. A lone caller waits for no other.
//
// Callers in a loop would split into two groups that take turns: one is written while the other waits. So commit
// waits for as many callers as there were in the last group, a quarter at most of the time that the last commit took.
//
// Before the first change it makes a reserve, where the file has none: Open itself writes nothing.
func (f *File) commit(noReserve bool) {
	defer close(f.done)
	expected, patience := 1, time.Duration(0)
	for first := range f.jobs {
		if noReserve {
			noReserve = false
			f.reserve()
		}
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

// gather adds the waiting jobs to the group, and waits no longer than patience until there are as many as expected.
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

// write runs the jobs in one transaction. A job that fails must leave nothing behind, and its changes are mixed with
// those of the others: the transaction begins again without it.
func (f *File) write(group []*job) {
	if rehearse {
		_ = f.db.Update(func(tx *bbolt.Tx) error {
			for _, j := range group {
				_ = run(j, tx)
			}
			return errUnchanged
		})
	}
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
		if err == nil {
			f.failed.Store(nil)
		}
		if err == nil || errors.Is(err, errUnchanged) {
			return
		}
		if failed == nil { // the commit itself failed: no change is on disk
			cause := systemError("write "+f.path, f.path, err)
			f.failed.Store(cause)
			for _, j := range left {
				j.err = cause
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

// errUnchanged rolls back a transaction that changed nothing: a commit would wear the flash. bbolt reads a page into
// a node before it changes it, so a transaction without nodes has no changes.
var errUnchanged = errors.New("no change")

// run runs one job. A panic in it becomes its error and spares the others.
func run(j *job, tx *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("write: " + fmt.Sprint(p))
		}
	}()
	return j.do(tx)
}
