package localstore

import (
	"errors"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

var (
	bHub     = []byte("hub")
	bVault   = []byte("vault")
	bOutbox  = []byte("outbox")
	bHistory = []byte("history")
	bBudget  = []byte("budget")
	bLeftOut = []byte("leftout")
	bAside   = []byte("aside")
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
	consentPerBinding,
	// Format 5: a binding leaves out what is zero.
	func(tx *bbolt.Tx) error {
		bound, err := bindings.all(tx)
		for _, b := range bound {
			err = errors.Join(err, bindings.put(tx, string(b.Device), b))
		}
		return err
	},
	recordsWithSums,
}

// recordsWithSums is format 6: each record that is not sealed has a checksum, and a damaged one is kept in the bucket
// aside. The index of the outbox has none: it is compared with the queue.
func recordsWithSums(tx *bbolt.Tx) error {
	_, err := tx.CreateBucketIfNotExists(bAside)
	errs := []error{err, boltfile.SumRecords(tx.Bucket(bOutbox).Bucket(bQueue))}
	for _, name := range []string{"accounts", "devices", "bindings", "intents", "leftout", "budget", "history"} {
		errs = append(errs, boltfile.SumRecords(tx.Bucket([]byte(name))))
	}
	hub := tx.Bucket(bHub)
	if raw := hub.Get(bootName); raw != nil {
		errs = append(errs, boltfile.Put(hub, bootName, boltfile.Number(raw)))
	}
	if raw := hub.Get(terminalName); raw != nil {
		errs = append(errs, boltfile.Put(hub, terminalName, string(raw)))
	}
	return errors.Join(errs...)
}

// consentPerBinding is format 4: the consent to passwords in the clear was one for the whole account. Where it was
// given, each bound device of a protocol without proofs keeps it, at the address where it was last recorded.
func consentPerBinding(tx *bbolt.Tx) error {
	type account struct {
		CleartextBind bool `json:"CleartextBind"`
	}
	all, err := boltfile.All[account](tx.Bucket([]byte("accounts")))
	if err != nil || !slices.Contains(all, account{CleartextBind: true}) {
		return err
	}
	bound, err := bindings.all(tx)
	if err != nil {
		return err
	}
	for _, b := range bound {
		d, ok, err := devices.get(tx, string(b.Device))
		if err != nil {
			return err
		}
		if !ok || !d.Protocol.Cleartext() && b.ProofRank != home.HashFirst {
			continue
		}
		b.Consents.Cleartext = home.CleartextConsent{Protocol: d.Protocol, Addr: d.Addr.Addr()}
		if err := bindings.put(tx, string(b.Device), b); err != nil {
			return err
		}
	}
	return nil
}
