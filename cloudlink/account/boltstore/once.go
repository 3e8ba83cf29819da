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
		r, _, err := boltfile.Get[answeredRecord](tx.Bucket(bktAnswered), []byte(member))
		return r.Seq, err
	})
}

// once makes the change of a member's message, and records the answer. The same message again gets the recorded
// answer, an older one ErrReplayed. The zero Position is the owner's.
func (s *Store) once(pos account.Position, do func(*bbolt.Tx) ([]wire.Outcome, error)) ([]wire.Outcome, error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		if pos == (account.Position{}) {
			return do(tx)
		}
		last, known, err := boltfile.Get[answeredRecord](tx.Bucket(bktAnswered), []byte(pos.Member))
		switch {
		case err != nil:
			return nil, err
		case known && pos.Seq < last.Seq:
			return nil, account.ErrReplayed
		case known && pos.Seq == last.Seq:
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
		now := answeredRecord{Seq: pos.Seq}
		for _, o := range refused {
			now.Refused = append(now.Refused, outcomeRecord{o.ID, o.Code})
		}
		return refused, boltfile.Put(tx.Bucket(bktAnswered), []byte(pos.Member), now)
	})
}
