package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Check walks the whole file, opens all that is sealed, and sees that what belongs together is there together. It returns home.ErrCorrupt.
func (s *Store) Check() error {
	if err := s.file.Check(); err != nil {
		return err
	}
	err := s.view(func(tx *bbolt.Tx) error {
		return errors.Join(checkBindings(tx), s.checkVault(tx), checkQueue(tx.Bucket(bOutbox), ownErrand), checkQueue(tx.Bucket(bInbox), bytes.Equal), readable[home.Event](tx, bHistory))
	})
	if err != nil {
		return &home.Error{Op: "check the store", Err: fmt.Errorf("%w: %w", home.ErrCorrupt, err), Hint: "put a copy from a backup in its place"}
	}
	return nil
}

func readable[T any](tx *bbolt.Tx, bucket []byte) error {
	_, err := all[T](tx.Bucket(bucket))
	return err
}

// checkBindings: a binding has a device and a secret, and belongs to the hub's account; a device or an intent has a binding.
func checkBindings(tx *bbolt.Tx) error {
	bindings, err := all[home.Binding](tx.Bucket(bBindings))
	if err != nil {
		return err
	}
	bound := map[home.DeviceID]bool{}
	for _, b := range bindings {
		bound[b.Device] = true
		if _, err := accountOf(tx, b.Account); err != nil {
			return fmt.Errorf("binding of %s: %w", b.Device, err)
		}
		if tx.Bucket(bDevices).Get([]byte(b.Device)) == nil || tx.Bucket(bVault).Get(bindKey(b.Device)) == nil {
			return fmt.Errorf("binding of %s: device or secret is missing", b.Device)
		}
	}
	devices, err := all[home.Device](tx.Bucket(bDevices))
	if err != nil {
		return err
	}
	for _, d := range devices {
		if !bound[d.ID] {
			return fmt.Errorf("device %s is not bound", d.ID)
		}
	}
	intents, err := all[home.Intent](tx.Bucket(bIntents))
	if err != nil {
		return err
	}
	for _, i := range intents {
		if !bound[i.Device] || !slices.Contains(i.Holds, i.To) || !slices.IsSorted(i.Holds) {
			return fmt.Errorf("intent of %s does not hold together", i.Device)
		}
	}
	return nil
}

func (s *Store) checkVault(tx *bbolt.Tx) error {
	return tx.Bucket(bVault).ForEach(func(k, box []byte) error {
		if _, err := s.key.Open(box, "vault/"+string(k)); err != nil {
			return fmt.Errorf("vault %q: %w", k, err)
		}
		return nil
	})
}

// checkQueue: queue and index say the same.
func checkQueue(b *bbolt.Bucket, same func(key, value []byte) bool) error {
	queue, index := b.Bucket(bQueue), b.Bucket(bIndex)
	if q, i := queue.Stats().KeyN, index.Stats().KeyN; q != i {
		return fmt.Errorf("a queue of %d with an index of %d", q, i)
	}
	return index.ForEach(func(k, n []byte) error {
		if !same(k, queue.Get(n)) {
			return fmt.Errorf("the index leads from %q to something else", k)
		}
		return nil
	})
}

func ownErrand(key, value []byte) bool {
	var e home.Errand
	return json.Unmarshal(value, &e) == nil && bytes.Equal(errandKey(e.Kind, e.Device), key)
}
