package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// maxRemembered bounds what an owner remembers: every device may be asked for each.
const maxRemembered = 32

func oldPrefix(id home.AccountID) []byte { return []byte("old/" + string(id) + "/") }

// Remember adds to the vault earlier passwords of the account that its owner remembers. Their epochs are not known:
// their credentials have none. A pair that the vault holds is not added again; it returns how many were new.
func (s *Store) Remember(id home.AccountID, cs []home.Credential) (added int, err error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (added int, err error) {
		if _, err := accountOf(tx, id); err != nil {
			return 0, err
		}
		held, err := s.credentials(tx, id)
		if err != nil {
			return 0, err
		}
		old := 0
		for _, h := range held {
			if h.Epoch == 0 {
				old++
			}
		}
		for _, c := range cs {
			if holds(held, c) {
				continue
			}
			if old++; old > maxRemembered {
				return 0, &home.Error{
					Op:  "remember a password",
					Err: fmt.Errorf("%d earlier passwords are remembered, and more are not tried", maxRemembered),
				}
			}
			if err := s.putRemembered(tx, id, c); err != nil {
				return 0, err
			}
			held = append(held, home.Credential{Username: c.Username, Password: c.Password})
			added++
		}
		if added == 0 {
			return 0, nil
		}
		return added, errors.Join(given(tx),
			record(tx, home.Event{At: now(), What: "earlier passwords remembered", Detail: fmt.Sprint(added)}))
	})
}

// putRemembered writes an earlier password without an epoch, sealed.
func (s *Store) putRemembered(tx *bbolt.Tx, id home.AccountID, c home.Credential) error {
	n, err := tx.Bucket(bVault).NextSequence()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(credentialRecord{Username: c.Username, Password: c.Password.Reveal()})
	if err != nil {
		return err
	}
	key := append(oldPrefix(id), boltfile.Key(n)...)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

// holds reports whether one of cs is the same pair.
func holds(cs []home.Credential, c home.Credential) bool {
	for _, h := range cs {
		if h.Username == c.Username && h.Password.Equal(c.Password) {
			return true
		}
	}
	return false
}

// remembered returns the credentials without an epoch, the one that was added last first.
func (s *Store) remembered(tx *bbolt.Tx, id home.AccountID) ([]home.Credential, error) {
	var cs []home.Credential
	prefix := oldPrefix(id)
	c := tx.Bucket(bVault).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(k) != len(prefix)+8 {
			continue // of an account whose name begins like this one
		}
		cr, err := s.openCredential(k, v)
		if err != nil {
			return nil, err
		}
		cr.Epoch = 0
		cs = append([]home.Credential{cr}, cs...)
	}
	return cs, nil
}
