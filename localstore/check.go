package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Check reads the whole file, opens every sealed record, and compares the records that depend on one another. It
// returns home.ErrCorrupt where something is wrong.
func (s *Store) Check() error {
	if err := s.file.Check(); err != nil {
		return err
	}
	err := s.file.View(func(tx *bbolt.Tx) error {
		_, herr := boltfile.All[eventRecord](tx.Bucket(bHistory))
		_, lerr := boltfile.All[leftOutRecord](tx.Bucket(bLeftOut))
		return errors.Join(checkBindings(tx), s.checkVault(tx), checkOutbox(tx), herr, lerr)
	})
	if err != nil {
		return &home.Error{
			Op:   "check the store",
			Err:  fmt.Errorf("%w: %w", home.ErrCorrupt, err),
			Hint: "put a copy from a backup in its place",
		}
	}
	return nil
}

// checkBindings: a binding has a device and a secret, and belongs to the hub's account; a device or an intent has a
// binding.
func checkBindings(tx *bbolt.Tx) error {
	all, err := bindings.all(tx)
	if err != nil {
		return err
	}
	bound := map[home.DeviceID]bool{}
	for _, b := range all {
		bound[b.Device] = true
		if _, err := accountOf(tx, b.Account); err != nil {
			return fmt.Errorf("binding of %s: %w", b.Device, err)
		}
		if !devices.has(tx, string(b.Device)) || tx.Bucket(bVault).Get(bindKey(b.Device)) == nil {
			return fmt.Errorf("binding of %s: device or secret is missing", b.Device)
		}
	}
	ds, err := devices.all(tx)
	if err != nil {
		return err
	}
	for _, d := range ds {
		if !bound[d.ID] {
			return fmt.Errorf("device %s is not bound", d.ID)
		}
	}
	unfinished, err := intents.all(tx)
	if err != nil {
		return err
	}
	for _, i := range unfinished {
		if !bound[i.Device] || !slices.Contains(i.Holds, i.To) || !slices.IsSorted(i.Holds) {
			return fmt.Errorf("intent of %s is inconsistent", i.Device)
		}
	}
	return nil
}

// checkVault opens every sealed record.
func (s *Store) checkVault(tx *bbolt.Tx) error {
	return tx.Bucket(bVault).ForEach(func(k, box []byte) error {
		if _, err := s.key.Open(box, "vault/"+string(k)); err != nil {
			return fmt.Errorf("vault %q: %w", k, err)
		}
		return nil
	})
}

// checkOutbox: queue and index have the same errands.
func checkOutbox(tx *bbolt.Tx) error {
	index := outboxIndex(tx)
	if q, i := queue.bucket(tx).Stats().KeyN, index.Stats().KeyN; q != i {
		return fmt.Errorf("the outbox has %d errands, its index %d", q, i)
	}
	return index.ForEach(func(k, n []byte) error {
		e, ok, err := queue.get(tx, string(n))
		if err == nil && (!ok || !bytes.Equal(errandKey(e.Kind, e.Device), k)) {
			err = fmt.Errorf("the index of the outbox leads from %q to another errand", k)
		}
		return err
	})
}
