package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Register stores a registration.
func (s *Store) Register(r account.Registration, m mail.Mail) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		rec := registrationRecord{
			Account: r.Account, Email: r.Email, Hash: s.seal(r.Hash, "hash/"+r.Account), Door: r.Door, Lang: r.Lang,
			At:      ms(r.At),
			Expires: ms(r.Expires),
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktRegistrations), []byte(r.Key), rec),
			tx.Bucket(bktNewest).Put([]byte(account.Normal(r.Email)), []byte(r.Key)), s.queue(tx, m))
	})
}

// Registration returns the registration of a token.
func (s *Store) Registration(key string) (account.Registration, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Registration, error) {
		return s.registration(tx, []byte(key))
	})
}

// NewestRegistration finds the last registration of an address.
func (s *Store) NewestRegistration(email string) (account.Registration, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Registration, error) {
		return s.registration(tx, tx.Bucket(bktNewest).Get([]byte(account.Normal(email))))
	})
}

func (s *Store) registration(tx *bbolt.Tx, key []byte) (account.Registration, error) {
	r, err := find[registrationRecord](tx, bktRegistrations, key)
	if err != nil {
		return account.Registration{}, err
	}
	hash, err := s.open(r.Hash, "hash/"+r.Account)
	return account.Registration{
		Key: string(key), Account: r.Account, Email: r.Email, Hash: hash, Door: r.Door, Lang: r.Lang, At: at(r.At),
		Expires: at(r.Expires),
	}, err
}
