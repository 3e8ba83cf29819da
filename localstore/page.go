package localstore

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

var pageName = []byte("page")

// PagePassword returns the hash of the password of the hub's own pages; zero where the owner has set none.
func (s *Store) PagePassword() (home.Secret, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (home.Secret, error) {
		sealed := tx.Bucket(bHub).Get(pageName)
		if sealed == nil {
			return home.Secret{}, nil
		}
		plain, err := s.key.Open(bytes.Clone(sealed), "hub/page")
		if err != nil {
			return home.Secret{}, err
		}
		return home.SecretBytes(plain), nil
	})
}

// SetPagePassword replaces the hash of the password of the hub's own pages.
func (s *Store) SetPagePassword(hash home.Secret) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bHub).Put(pageName, s.key.Seal([]byte(hash.Reveal()), "hub/page"))
	})
}
