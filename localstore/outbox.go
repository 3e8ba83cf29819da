package localstore

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// queue is the outbox in the order of its numbers; its index leads from kind and device to the number.
var queue = table[home.Errand, errandRecord]{
	func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(bOutbox).Bucket(bQueue) },
	errandToDisk,
}

func outboxIndex(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(bOutbox).Bucket(bIndex) }

func errandKey(k home.ErrandKind, d home.DeviceID) []byte { return []byte(string(k) + "/" + string(d)) }

// announce queues an errand for an account service. The vendor's cloud gets none: devices sign in to it by
// themselves, and a hub has nothing to prove there.
func announce(tx *bbolt.Tx, e home.Errand) error {
	if a, err := account(tx); err == nil && a.Provider == home.TPLink {
		return nil
	}
	return enqueue(tx, e)
}

// enqueue queues an errand. It replaces a waiting one of its kind and device, and takes its place in the queue.
func enqueue(tx *bbolt.Tx, e home.Errand) error {
	key := errandKey(e.Kind, e.Device)
	n := outboxIndex(tx).Get(key)
	if n == nil {
		next, err := queue.bucket(tx).NextSequence()
		if err != nil {
			return err
		}
		n = boltfile.Key(next)
		if err := outboxIndex(tx).Put(key, n); err != nil {
			return err
		}
	}
	return queue.put(tx, string(n), e)
}

// dequeue deletes the waiting errand of this kind for the device, where there is one.
func dequeue(tx *bbolt.Tx, k home.ErrandKind, d home.DeviceID) error {
	key := errandKey(k, d)
	n := bytes.Clone(outboxIndex(tx).Get(key))
	if n == nil {
		return nil
	}
	return errors.Join(queue.delete(tx, string(n)), outboxIndex(tx).Delete(key))
}

// waiting returns the waiting errand of that kind and device.
func waiting(tx *bbolt.Tx, k home.ErrandKind, d home.DeviceID) (e home.Errand, ok bool, err error) {
	n := outboxIndex(tx).Get(errandKey(k, d))
	if n == nil {
		return e, false, nil
	}
	return queue.get(tx, string(n))
}

// queuedAt returns the epoch of the waiting errand of that kind and device, 0 where none waits.
func queuedAt(tx *bbolt.Tx, k home.ErrandKind, d home.DeviceID) home.Epoch {
	e, _, err := waiting(tx, k, d)
	if err != nil {
		return 0
	}
	return e.Epoch
}

// Queue queues errands.
func (s *Store) Queue(es []home.Errand) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, e := range es {
			if err := enqueue(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// Errands returns up to n waiting errands, oldest first.
func (s *Store) Errands(n int) ([]home.Errand, error) { return s.ErrandsAfter(home.Errand{}, n) }

// ErrandsAfter returns up to n errands that wait behind the one of e's kind and device, oldest first; where none of it
// waits, from the oldest on.
func (s *Store) ErrandsAfter(e home.Errand, n int) ([]home.Errand, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (es []home.Errand, err error) {
		var from []byte
		if at := outboxIndex(tx).Get(errandKey(e.Kind, e.Device)); at != nil {
			from = boltfile.Key(boltfile.Number(at) + 1)
		}
		err = boltfile.From(queue.bucket(tx), from, func(_ []byte, r errandRecord) error {
			if len(es) >= n {
				return errEnough
			}
			es = append(es, r.home())
			return nil
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		return es, err
	})
}

// Answered removes errands that the account service has answered. One that was replaced since it was sent stays.
func (s *Store) Answered(es []home.Errand) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, e := range es {
			have, ok, err := waiting(tx, e.Kind, e.Device)
			if err != nil {
				return err
			}
			if !ok || have.Epoch != e.Epoch || !have.At.Equal(e.At) {
				continue
			}
			if err := dequeue(tx, e.Kind, e.Device); err != nil {
				return err
			}
		}
		return nil
	})
}
