package boltstore

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Acknowledge records that the grant of the newest epoch is on the member's disk.
func (s *Store) Acknowledge(pos account.Position, k account.Acknowledgement) error {
	_, err := s.once(pos, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		m, err1 := find[memberRecord](tx, bktMembers, []byte(pos.Member))
		a, err2 := find[accountRecord](tx, bktAccounts, []byte(k.Account))
		switch err := errors.Join(err1, err2); {
		case err != nil:
			return nil, err
		case m.Account != k.Account:
			return nil, home.ErrNotFound
		case a.Epoch != k.Epoch:
			return nil, account.ErrEpoch
		case !bytes.Equal(m.member().SealKey(), k.Replaces):
			return nil, account.ErrMembers
		}
		m.Acked, m.Seal = k.Epoch, k.Seal
		return nil, errors.Join(boltfile.Put(tx.Bucket(bktMembers), []byte(m.Name), m), dropGrants(tx, m.Name, k.Epoch))
	})
	return err
}

// keepGrants is how many epochs a member can have missed and still get the grant of each.
const keepGrants = 16

// putGrant stores a grant, and deletes the one that keepGrants others have followed.
func putGrant(tx *bbolt.Tx, g account.Grant, epoch uint64) error {
	if epoch > keepGrants {
		if err := dropGrants(tx, g.Member, epoch-keepGrants); err != nil {
			return err
		}
	}
	return boltfile.Put(
		tx.Bucket(bktGrants), under(g.Member, boltfile.Key(epoch)), grantRecord{notice(g.Notice.JWS()), g.Sealed},
	)
}

// dropGrants deletes a member's grants up to an epoch.
func dropGrants(tx *bbolt.Tx, member string, epoch uint64) error {
	prefix := under(member, nil)
	var old [][]byte
	err := boltfile.Each(tx.Bucket(bktGrants), prefix, func(k []byte, _ grantRecord) error {
		if boltfile.Number(k[len(prefix):]) <= epoch {
			old = append(old, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, tx.Bucket(bktGrants).Delete(k))
	}
	return err
}

// Grants returns the member's grants of epochs newer than after.
func (s *Store) Grants(member string, after uint64) ([]account.Grant, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (gs []account.Grant, err error) {
		prefix := under(member, nil)
		err = boltfile.Each(tx.Bucket(bktGrants), prefix, func(k []byte, r grantRecord) error {
			if boltfile.Number(k[len(prefix):]) <= after {
				return nil
			}
			n, err := wire.ParseNotice([]byte(r.Notice))
			gs = append(gs, account.Grant{Member: member, Notice: n, Sealed: r.Sealed})
			return err
		})
		return gs, err
	})
}
