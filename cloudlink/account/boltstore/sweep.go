package boltstore

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Sweep deletes what expired before now.
func (s *Store) Sweep(now time.Time) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range [][]byte{bktSessions, bktLinks, bktRegistrations, bktPairings} {
			var old [][]byte
			type expiring struct {
				Expires int64 `json:"expires"`
			}
			err := boltfile.Each(tx.Bucket(bucket), nil, func(k []byte, r expiring) error {
				if at(r.Expires).Before(now) {
					old = append(old, append([]byte(nil), k...))
				}
				return nil
			})
			for _, k := range old {
				err = errors.Join(err, tx.Bucket(bucket).Delete(k))
			}
			if err != nil {
				return err
			}
		}
		var void [][]byte
		err := tx.Bucket(bktNewest).ForEach(func(email, key []byte) error {
			if tx.Bucket(bktRegistrations).Get(key) == nil {
				void = append(void, append([]byte(nil), email...))
			}
			return nil
		})
		for _, email := range void {
			err = errors.Join(err, tx.Bucket(bktNewest).Delete(email))
		}
		return err
	})
}
