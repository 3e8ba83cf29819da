package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// AddPairing stores a pairing.
func (s *Store) AddPairing(p account.Pairing, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r := pairingRecord{
			Account: p.Account, Secret: s.seal(p.Secret, "pairing/"+p.Name),
			Password: s.seal(p.Password, "pairing/"+p.Name+"/password"),
			Epoch:    p.Epoch, Used: p.Used, Expires: ms(p.Expires),
		}
		a, err := find[accountRecord](tx, bktAccounts, []byte(p.Account))
		if err == nil && (a.Closed || a.Epoch != p.Epoch) {
			err = account.ErrEpoch
		}
		if err != nil {
			return err
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktPairings), []byte(p.Name), r), record(tx, p.Account, e))
	})
}

// Pairing returns a pairing.
func (s *Store) Pairing(name string) (account.Pairing, error) {
	r, err := boltfile.View(s.file, func(tx *bbolt.Tx) (pairingRecord, error) {
		return find[pairingRecord](tx, bktPairings, []byte(name))
	})
	if err != nil {
		return account.Pairing{}, err
	}
	secret, err1 := s.open(r.Secret, "pairing/"+name)
	password, err2 := s.open(r.Password, "pairing/"+name+"/password")
	return account.Pairing{
		Name: name, Account: r.Account, Secret: secret, Password: password, Epoch: r.Epoch, Used: r.Used,
		Expires: at(r.Expires),
	}, errors.Join(err1, err2)
}

// dropPairings deletes the pairings that which selects. Those that are damaged are of no use, and are left to Sweep.
func dropPairings(tx *bbolt.Tx, which func(pairingRecord) bool) error {
	var names [][]byte
	_, err := boltfile.EachSound(tx.Bucket(bktPairings), nil, func(k []byte, p pairingRecord) error {
		if which(p) {
			names = append(names, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range names {
		err = errors.Join(err, tx.Bucket(bktPairings).Delete(k))
	}
	return err
}

func dropUnusedPairings(tx *bbolt.Tx, id string) error {
	return dropPairings(tx, func(p pairingRecord) bool { return p.Account == id && p.Used == "" })
}

// usePairing marks a pairing as used by a hub, and returns whether it was unused.
func usePairing(tx *bbolt.Tx, name string, m account.Member) (unused bool, err error) {
	p, ok, err := boltfile.Get[pairingRecord](tx.Bucket(bktPairings), []byte(name))
	switch {
	case err != nil:
		return false, err
	case !ok || p.Account != m.Account || p.Used != "" && p.Used != m.Name:
		return false, account.ErrUsed
	}
	unused = p.Used == ""
	p.Used = m.Name
	return unused, boltfile.Put(tx.Bucket(bktPairings), []byte(name), p)
}
