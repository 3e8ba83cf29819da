package localstore

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Check reads the whole file, verifies and opens every record, and compares the records that depend on one another. It
// returns home.ErrCorrupt where something is wrong; what Open has set aside is not.
func (s *Store) Check() error {
	if err := s.file.Check(); err != nil {
		return err
	}
	err := s.file.View(func(tx *bbolt.Tx) error {
		found, err := s.damage(tx)
		errs := []error{err, checkAccounts(tx)}
		for _, d := range found {
			errs = append(errs, fmt.Errorf("damaged record: %s", d.Damage))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return &home.Error{
			Op:   "check the store",
			Err:  fmt.Errorf("%w: %w", home.ErrCorrupt, err),
			Hint: "restart rekeyd, which sets damaged records aside; or put a copy from a backup in its place",
		}
	}
	return nil
}

// checkAccounts: each binding belongs to the hub's account.
func checkAccounts(tx *bbolt.Tx) error {
	return boltfile.Each(bindings.bucket(tx), nil, func(_ []byte, r bindingRecord) error {
		if _, err := accountOf(tx, home.AccountID(r.Account)); err != nil {
			return fmt.Errorf("binding of %s: %w", r.Device, err)
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
