package localstore

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// What is kept of the past.
const (
	inboxKept   = 4096
	historyKept = 10_000
)

func errandKey(k home.ErrandKind, d home.DeviceID) []byte { return []byte(string(k) + "/" + string(d)) }

// tell queues an errand, where there is an account service that is told. The vendor's cloud is told nothing: devices sign in to it by
// themselves, and a hub can prove nothing there.
func tell(tx *bbolt.Tx, e home.Errand) error {
	if a, err := account(tx); err == nil && a.Provider == home.TPLink {
		return nil
	}
	return enqueue(tx, e)
}

// enqueue queues an errand. It replaces a waiting one of its kind and device, and keeps that one's place.
func enqueue(tx *bbolt.Tx, e home.Errand) error {
	queue, index := tx.Bucket(bOutbox).Bucket(bQueue), tx.Bucket(bOutbox).Bucket(bIndex)
	key := errandKey(e.Kind, e.Device)
	n := number(index.Get(key))
	if n == 0 {
		var err error
		if n, err = queue.NextSequence(); err != nil {
			return err
		}
		if err := index.Put(key, bigEndian(n)); err != nil {
			return err
		}
	}
	return put(queue, bigEndian(n), e)
}

func dequeue(tx *bbolt.Tx, k home.ErrandKind, d home.DeviceID) error {
	queue, index := tx.Bucket(bOutbox).Bucket(bQueue), tx.Bucket(bOutbox).Bucket(bIndex)
	key := errandKey(k, d)
	n := index.Get(key)
	if n == nil {
		return nil
	}
	if err := queue.Delete(clone(n)); err != nil {
		return err
	}
	return index.Delete(key)
}

// queuedAt returns the epoch of the waiting errand of that kind and device, 0 where none waits.
func queuedAt(tx *bbolt.Tx, k home.ErrandKind, d home.DeviceID) home.Epoch {
	n := tx.Bucket(bOutbox).Bucket(bIndex).Get(errandKey(k, d))
	if n == nil {
		return 0
	}
	e, _, err := get[home.Errand](tx.Bucket(bOutbox).Bucket(bQueue), n)
	if err != nil {
		return 0
	}
	return e.Epoch
}

// Queue queues errands.
func (s *Store) Queue(es []home.Errand) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, e := range es {
			if err := enqueue(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Errands returns up to n waiting errands, oldest first.
func (s *Store) Errands(n int) ([]home.Errand, error) {
	var es []home.Errand
	err := s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bOutbox).Bucket(bQueue).Cursor()
		for k, raw := c.First(); k != nil && len(es) < n; k, raw = c.Next() {
			var e home.Errand
			if err := json.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("outbox: %w: %w", home.ErrCorrupt, err)
			}
			es = append(es, e)
		}
		return nil
	})
	return es, err
}

// Answered removes errands that the account service has answered. One that was replaced meanwhile stays.
func (s *Store) Answered(es []home.Errand) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, e := range es {
			n := tx.Bucket(bOutbox).Bucket(bIndex).Get(errandKey(e.Kind, e.Device))
			if n == nil {
				continue
			}
			waiting, _, err := get[home.Errand](tx.Bucket(bOutbox).Bucket(bQueue), n)
			if err != nil {
				return err
			}
			if waiting.Epoch != e.Epoch || !waiting.At.Equal(e.At) {
				continue
			}
			if err := dequeue(tx, e.Kind, e.Device); err != nil {
				return err
			}
		}
		return nil
	})
}

// heard keeps the name of a message that was acted on, in the same transaction.
func heard(tx *bbolt.Tx, message string) error {
	if message == "" {
		return nil
	}
	queue, index, key := tx.Bucket(bInbox).Bucket(bQueue), tx.Bucket(bInbox).Bucket(bIndex), inboxKey(message)
	if index.Get(key) != nil {
		return nil
	}
	n, err := queue.NextSequence()
	if err != nil {
		return err
	}
	if err := queue.Put(bigEndian(n), key); err != nil {
		return err
	}
	if err := index.Put(key, bigEndian(n)); err != nil {
		return err
	}
	if n <= inboxKept {
		return nil
	}
	oldest := bigEndian(n - inboxKept)
	if err := index.Delete(clone(queue.Get(oldest))); err != nil {
		return err
	}
	return queue.Delete(oldest)
}

// inboxKey is what is kept of a message's name: the name, or a hash of one that is too long for a key.
func inboxKey(message string) []byte {
	if len(message) <= 128 {
		return []byte(message)
	}
	sum := sha256.Sum256([]byte(message))
	return sum[:]
}

// Seen tells whether a message of that name was acted on, as far back as names are kept.
func (s *Store) Seen(message string) (seen bool, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		seen = message != "" && tx.Bucket(bInbox).Bucket(bIndex).Get(inboxKey(message)) != nil
		return nil
	})
	return seen, err
}

// record adds a line to the history, and drops those beyond what is kept.
func record(tx *bbolt.Tx, e home.Event) error {
	b := tx.Bucket(bHistory)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if n > historyKept {
		if err := b.Delete(bigEndian(n - historyKept)); err != nil {
			return err
		}
	}
	e.At = utc(e.At)
	return put(b, bigEndian(n), e)
}

// Record adds a line to the history.
func (s *Store) Record(e home.Event) error {
	return s.update(func(tx *bbolt.Tx) error { return record(tx, e) })
}

// History returns up to limit lines, newest first.
func (s *Store) History(limit int) ([]home.Event, error) {
	events := []home.Event{}
	err := s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bHistory).Cursor()
		for k, raw := c.Last(); k != nil && len(events) < limit; k, raw = c.Prev() {
			var e home.Event
			if err := json.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("history: %w: %w", home.ErrCorrupt, err)
			}
			events = append(events, e)
		}
		return nil
	})
	return events, err
}
