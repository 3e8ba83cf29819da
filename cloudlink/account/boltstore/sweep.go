package boltstore

import (
	"bytes"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Sweep deletes records that expired before now, and damaged ones, which nothing can use. A record that ends later than
// any that is made now was made while the clock was ahead: it gets the longest life that it can have.
func (s *Store) Sweep(now time.Time) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			sweep(tx, bktSessions, now, account.LongestSession, func(r *sessionRecord) *int64 { return &r.Expires }),
			sweep(tx, bktLinks, now, account.LongestLink, func(r *linkRecord) *int64 { return &r.Expires }),
			sweep(tx, bktRegistrations, now, account.LongestRegistration,
				func(r *registrationRecord) *int64 { return &r.Expires }),
			sweep(tx, bktPairings, now, account.LongestPairing, func(r *pairingRecord) *int64 { return &r.Expires }),
			sweepNewest(tx),
		)
	})
}

func sweep[R any](
	tx *bbolt.Tx, bucket []byte, now time.Time, longest time.Duration, expires func(*R) *int64,
) error {
	b, latest := tx.Bucket(bucket), ms(now.Add(longest))
	var old [][]byte
	ahead := map[string]R{}
	damaged, err := boltfile.EachSound(b, nil, func(k []byte, r R) error {
		switch end := expires(&r); {
		case at(*end).Before(now):
			old = append(old, bytes.Clone(k))
		case *end > latest:
			*end = latest
			ahead[string(k)] = r
		}
		return nil
	})
	for _, k := range append(old, damaged...) {
		err = errors.Join(err, b.Delete(k))
	}
	for k, r := range ahead {
		err = errors.Join(err, boltfile.Put(b, []byte(k), r))
	}
	return err
}

// sweepNewest deletes the entries of registrations that are no more.
func sweepNewest(tx *bbolt.Tx) error {
	var void [][]byte
	err := tx.Bucket(bktNewest).ForEach(func(email, key []byte) error {
		if tx.Bucket(bktRegistrations).Get(key) == nil {
			void = append(void, bytes.Clone(email))
		}
		return nil
	})
	for _, email := range void {
		err = errors.Join(err, tx.Bucket(bktNewest).Delete(email))
	}
	return err
}
