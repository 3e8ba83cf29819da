package boltstore

import (
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// MailLink returns the link of a token.
func (s *Store) MailLink(key string) (account.MailLink, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.MailLink, error) {
		r, err := find[linkRecord](tx, bktLinks, []byte(key))
		return account.MailLink{
			Key: key, Purpose: r.Purpose, Account: r.Account, Epoch: r.Epoch, Door: r.Door, At: at(r.At), Expires: at(r.Expires),
		}, err
	})
}

func putLink(tx *bbolt.Tx, l account.MailLink) error {
	r := linkRecord{
		Purpose: l.Purpose, Account: l.Account, Epoch: l.Epoch, Door: l.Door, At: ms(l.At), Expires: ms(l.Expires),
	}
	return boltfile.Put(tx.Bucket(bktLinks), []byte(l.Key), r)
}

// useLink uses a link of the account up; of many at once, one finds it. epoch is that of a reset link, 0 for any.
func useLink(tx *bbolt.Tx, key, id string, epoch uint64) error {
	if key == "" {
		return nil
	}
	l, err := find[linkRecord](tx, bktLinks, []byte(key))
	if errors.Is(err, home.ErrNotFound) || err == nil && (l.Account != id || epoch != 0 && l.Epoch != epoch) {
		return account.ErrUsed
	}
	return errors.Join(err, tx.Bucket(bktLinks).Delete([]byte(key)))
}

// dropLinks deletes the reset links among an account's links, or all of them, and returns the others that still exist.
func dropLinks(tx *bbolt.Tx, links []string, all bool) (left []string, err error) {
	for _, key := range links {
		l, ok, err := boltfile.Get[linkRecord](tx.Bucket(bktLinks), []byte(key))
		switch {
		case err != nil:
			return nil, err
		case !ok || slices.Contains(left, key): // used, or swept
		case all || l.Purpose == account.PurposeReset:
			if err := tx.Bucket(bktLinks).Delete([]byte(key)); err != nil {
				return nil, err
			}
		default:
			left = append(left, key)
		}
	}
	return left, nil
}
