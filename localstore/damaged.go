package localstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// bucketsSince holds the format that brought each bucket which the newest format has.
var bucketsSince = map[string]uint64{
	"hub": 1, "accounts": 1, "vault": 1, "devices": 1, "bindings": 1, "intents": 1, "history": 1,
	"outbox/queue": 1, "outbox/index": 1, "budget": 2, "leftout": 3, "aside": 6,
}

// intact reports a missing bucket, and a store with records in which the vault's check or the hub's keys are missing.
// The pages of the file can be sound all the same: one flipped bit in a name is enough. Such a store must not be taken
// for a new one, since a new one gets keys that open none of its records.
func intact(tx *bbolt.Tx, format uint64) error {
	for path, since := range bucketsSince {
		if since <= format && !hasBucket(tx, path) {
			return fmt.Errorf("the bucket %s is missing", path)
		}
	}
	if boltfile.Blank(tx) {
		return nil
	}
	switch {
	case tx.Bucket(bVault).Get(checkName) == nil:
		return errors.New("the record that checks the vault's key is missing")
	case tx.Bucket(bHub).Get(keysName) == nil:
		return errors.New("the hub's keys are missing")
	}
	return nil
}

func hasBucket(tx *bbolt.Tx, path string) bool {
	name, sub, nested := strings.Cut(path, "/")
	b := tx.Bucket([]byte(name))
	return b != nil && (!nested || b.Bucket([]byte(sub)) != nil)
}

// checkKey opens the vault's check with the key. Where the key opens the hub's keys and not the check, the check is
// damaged: home.ErrCorrupt.
func (s *Store) checkKey(o Options) error {
	box, err := s.copyOf(bVault, checkName)
	if err != nil {
		return err
	}
	_, err = s.key.Open(box, "vault/check")
	if err == nil {
		return nil
	}
	if _, other := s.HubKeys(); other == nil {
		return boltfile.Damaged(filepath.Join(o.Dir, dbName), errors.New("the record that checks the vault's key is damaged"))
	}
	return &home.Error{
		Op:   "open the vault",
		Err:  err,
		Hint: "use the key file or the passphrase with which the state was made",
	}
}
