package localstore

import (
	"errors"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	bHub     = []byte("hub")
	bVault   = []byte("vault")
	bOutbox  = []byte("outbox")
	bHistory = []byte("history")
	bBudget  = []byte("budget")
	bLeftOut = []byte("leftout")
	bQueue   = []byte("queue")
	bIndex   = []byte("index")
)

// oldestReadable is the oldest format whose account, bindings, devices and history this program reads as they are.
const oldestReadable = 1

// migrations only grows: a file of format n has seen the first n. TestMigrations has a case for each.
var migrations = []func(*bbolt.Tx) error{
	func(tx *bbolt.Tx) error {
		for _, name := range []string{"hub", "accounts", "vault", "devices", "bindings", "intents", "history"} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		for _, name := range []string{"outbox", "inbox"} {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for _, sub := range [][]byte{bQueue, bIndex} {
				if _, err := b.CreateBucketIfNotExists(sub); err != nil {
					return err
				}
			}
		}
		return nil
	},
	func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bBudget)
		return err
	},
	// Format 3: the names of received messages had no reader. Devices that the owner unbound are recorded.
	func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte("inbox")); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(bLeftOut)
		return err
	},
}
