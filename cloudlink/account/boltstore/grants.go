package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Acknowledge records that a grant is on the member's disk.
func (s *Store) Acknowledge(said account.Said, k account.Acknowledgement) error {
	_, err := s.once(said, func(tx *bbolt.Tx) ([]wire.Outcome, error) {
		m, err := find[memberRecord](tx, bktMembers, []byte(said.Member))
		if err == nil && m.Account != k.Account {
			err = home.ErrNotFound
		}
		if err == nil && k.Verify != nil {
			var a account.Account
			if a, err = s.findAccount(tx, k.Account); err == nil {
				err = k.Verify(m.member(), a)
			}
		}
		if err != nil {
			return nil, err
		}
		m.Acked = max(m.Acked, k.Epoch)
		if len(k.Seal) > 0 {
			m.Seal = k.Seal
		}
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
	return boltfile.Put(tx.Bucket(bktGrants), under(g.Member, boltfile.Key(epoch)), grantRecord{notice(g.Notice.JWS()), g.Sealed})
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
