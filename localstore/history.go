package localstore

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// historyKept is how many events the history keeps.
const historyKept = 10_000

// record adds an event to the history, and drops the oldest beyond historyKept.
func record(tx *bbolt.Tx, e home.Event) error {
	return boltfile.Append(tx.Bucket(bHistory), eventToDisk(e), historyKept)
}

// Record adds an event to the history.
func (s *Store) Record(e home.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error { return record(tx, e) })
}

// History returns up to limit events, newest first.
func (s *Store) History(limit int) ([]home.Event, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]home.Event, error) {
		rs, err := boltfile.Newest[eventRecord](tx.Bucket(bHistory), limit)
		events := make([]home.Event, len(rs))
		for i, r := range rs {
			events[i] = r.home()
		}
		return events, err
	})
}
