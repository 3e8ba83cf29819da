package localstore

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// credential is a home.Credential on its way into the seal.
type credential struct {
	Username    string `json:",omitempty"`
	Password    string `json:",omitempty"`
	EpochSecret []byte `json:",omitempty"`
}

func credPrefix(id home.AccountID) []byte { return []byte("cred/" + string(id) + "/") }

func credKey(id home.AccountID, e home.Epoch) []byte {
	return append(credPrefix(id), bigEndian(uint64(e))...)
}

func (s *Store) putCredential(tx *bbolt.Tx, id home.AccountID, c home.Credential) error {
	held, err := s.getCredential(tx, id, c.Epoch)
	if err != nil || held == c {
		return err
	}
	plain, err := json.Marshal(credential{c.Username, c.Password.Reveal(), []byte(c.EpochSecret.Reveal())})
	if err != nil {
		return err
	}
	key := credKey(id, c.Epoch)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

func (s *Store) openCredential(key, box []byte) (home.Credential, error) {
	plain, err := s.key.Open(box, "vault/"+string(key))
	if err != nil {
		return home.Credential{}, err
	}
	var c credential
	if err := json.Unmarshal(plain, &c); err != nil {
		return home.Credential{}, fmt.Errorf("vault: %w", home.ErrCorrupt)
	}
	return home.Credential{
		Epoch: home.Epoch(number(key[len(key)-8:])), Username: c.Username,
		Password: home.NewSecret(c.Password), EpochSecret: home.SecretBytes(c.EpochSecret),
	}, nil
}

// getCredential returns what the vault holds of an epoch, or a credential of that epoch with nothing in it.
func (s *Store) getCredential(tx *bbolt.Tx, id home.AccountID, e home.Epoch) (home.Credential, error) {
	key := credKey(id, e)
	box := tx.Bucket(bVault).Get(key)
	if box == nil {
		return home.Credential{Epoch: e}, nil
	}
	return s.openCredential(key, box)
}

// Credentials returns what the vault holds of an account: newest epoch first, and then those without an epoch.
func (s *Store) Credentials(id home.AccountID) (cs []home.Credential, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		cs, err = s.credentials(tx, id)
		return err
	})
	return cs, err
}

func (s *Store) credentials(tx *bbolt.Tx, id home.AccountID) ([]home.Credential, error) {
	var cs []home.Credential
	prefix := credPrefix(id)
	c := tx.Bucket(bVault).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(k) != len(prefix)+8 {
			continue // of an account whose name begins like this one
		}
		cr, err := s.openCredential(k, v)
		if err != nil {
			return nil, err
		}
		cs = append(cs, cr)
	}
	slices.Reverse(cs)
	old, err := s.remembered(tx, id)
	return append(cs, old...), err
}

// merge fills what old lacks from add. What old has stays: a different password or secret of the same epoch is home.ErrForged.
func merge(old, add home.Credential) (home.Credential, error) {
	for _, f := range []struct{ have, more *home.Secret }{{&old.Password, &add.Password}, {&old.EpochSecret, &add.EpochSecret}} {
		switch {
		case f.have.IsZero():
			*f.have = *f.more
		case !f.more.IsZero() && !f.have.Equal(*f.more):
			return old, fmt.Errorf("another credential of epoch %d: %w", old.Epoch, home.ErrForged)
		}
	}
	if old.Username == "" {
		old.Username = add.Username
	}
	return old, nil
}

// AddCredentials adds to the vault what it lacks: earlier passwords that the owner remembers, or the password of an epoch whose
// grant had none. It returns home.ErrForged, and changes nothing, where the vault holds something else of that epoch.
func (s *Store) AddCredentials(id home.AccountID, cs []home.Credential) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, c := range cs {
			if c.Epoch == 0 {
				return errors.New("add credential: it has no epoch")
			}
			old, err := s.getCredential(tx, id, c.Epoch)
			if err != nil {
				return err
			}
			if c, err = merge(old, c); err != nil {
				return err
			}
			if c == old {
				continue // a seal is new each time, and would be written for nothing
			}
			if err := s.putCredential(tx, id, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetCredentials drops the credentials that no device needs: older than the newest keep of them, and neither held by a bound device
// nor perhaps held by one with an unfinished intent. It returns how many.
func (s *Store) ForgetCredentials(id home.AccountID, keep int) (dropped int, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		dropped = 0
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		needed := map[home.Epoch]bool{a.Epoch: true}
		bindings, err := all[home.Binding](tx.Bucket(bBindings))
		if err != nil {
			return err
		}
		for _, b := range bindings {
			if b.DeviceEpoch == 0 {
				return nil // nobody knows which password this device holds
			}
			needed[b.DeviceEpoch] = true
		}
		intents, err := all[home.Intent](tx.Bucket(bIntents))
		if err != nil {
			return err
		}
		for _, i := range intents {
			for _, e := range i.Holds {
				needed[e] = true
			}
		}
		prefix := credPrefix(id)
		var keys [][]byte
		c := tx.Bucket(bVault).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if len(k) == len(prefix)+8 {
				keys = append(keys, clone(k))
			}
		}
		for _, k := range keys[:max(0, len(keys)-max(1, keep))] {
			if needed[home.Epoch(number(k[len(k)-8:]))] {
				continue
			}
			if err := tx.Bucket(bVault).Delete(k); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	return dropped, err
}

func bindKey(id home.DeviceID) []byte { return []byte("bind/" + string(id)) }

// BindingSecrets returns the binding secrets of those devices that are bound.
func (s *Store) BindingSecrets(ids []home.DeviceID) (map[home.DeviceID]home.Secret, error) {
	secrets := make(map[home.DeviceID]home.Secret, len(ids))
	err := s.view(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			key := bindKey(id)
			box := tx.Bucket(bVault).Get(key)
			if box == nil {
				continue
			}
			plain, err := s.key.Open(box, "vault/"+string(key))
			if err != nil {
				return err
			}
			secrets[id] = home.SecretBytes(plain)
		}
		return nil
	})
	return secrets, err
}

func random32() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
