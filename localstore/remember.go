package localstore

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// maxRemembered bounds what an owner remembers: every device may be asked for each.
const maxRemembered = 32

func oldPrefix(id home.AccountID) []byte { return []byte("old/" + string(id) + "/") }

// Remember adds to the vault earlier passwords of the account that its owner remembers. Which epoch they were of is not known: their
// credentials have none. What the vault holds already is not added again; it returns how many were.
func (s *Store) Remember(id home.AccountID, cs []home.Credential) (added int, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		added = 0
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		held, err := s.credentials(tx, id)
		if err != nil {
			return err
		}
		b := tx.Bucket(bVault)
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
				return &home.Error{Op: "remember a password", Err: fmt.Errorf("%d earlier passwords are remembered, and more are not tried", maxRemembered)}
			}
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			plain, err := json.Marshal(credential{Username: c.Username, Password: c.Password.Reveal()})
			if err != nil {
				return err
			}
			key := append(oldPrefix(id), bigEndian(n)...)
			if err := b.Put(key, s.key.Seal(plain, "vault/"+string(key))); err != nil {
				return err
			}
			held = append(held, home.Credential{Username: c.Username, Password: c.Password})
			added++
		}
		if added == 0 {
			return nil
		}
		return record(tx, home.Event{At: now(), What: "earlier passwords remembered", Detail: fmt.Sprint(added)})
	})
	return added, err
}

// holds tells whether one of cs is the same pair.
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
