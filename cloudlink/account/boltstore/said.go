package boltstore

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// LastSeq returns the sequence number of the member's last change.
func (s *Store) LastSeq(member string) (uint64, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (uint64, error) {
		r, _, err := boltfile.Get[saidRecord](tx.Bucket(bktSaid), []byte(member))
		return r.Seq, err
	})
}

// once does what a member's message asks for, and records the answer. The same message again is answered with that, an older one refused.
// The zero Said is no member's.
func (s *Store) once(said account.Said, do func(*bbolt.Tx) ([]wire.Outcome, error)) ([]wire.Outcome, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		if said == (account.Said{}) {
			return do(tx)
		}
		last, known, err := boltfile.Get[saidRecord](tx.Bucket(bktSaid), []byte(said.Member))
		switch {
		case err != nil:
			return nil, err
		case known && said.Seq < last.Seq:
			return nil, account.ErrReplayed
		case known && said.Seq == last.Seq:
			var refused []wire.Outcome
			for _, o := range last.Refused {
				refused = append(refused, wire.Outcome{ID: o.ID, Code: o.Code})
			}
			return refused, nil
		}
		refused, err := do(tx)
		if err != nil {
			return nil, err
		}
		now := saidRecord{Seq: said.Seq}
		for _, o := range refused {
			now.Refused = append(now.Refused, outcomeRecord{o.ID, o.Code})
		}
		return refused, boltfile.Put(tx.Bucket(bktSaid), []byte(said.Member), now)
	})
}
