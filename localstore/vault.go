package localstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

func credPrefix(id home.AccountID) []byte { return []byte("cred/" + string(id) + "/") }

func credKey(id home.AccountID, e home.Epoch) []byte {
	return append(credPrefix(id), boltfile.Key(uint64(e))...)
}

// putCredential writes the credential of an epoch, sealed; nothing where the vault has the same.
func (s *Store) putCredential(tx *bbolt.Tx, id home.AccountID, c home.Credential) error {
	held, err := s.getCredential(tx, id, c.Epoch)
	if err != nil || held == c {
		return err
	}
	plain, err := json.Marshal(credentialRecord{c.Username, c.Password.Reveal(), []byte(c.EpochSecret.Reveal())})
	if err != nil {
		return err
	}
	key := credKey(id, c.Epoch)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

// openCredential opens a sealed credential. Its epoch is the end of its key.
func (s *Store) openCredential(key, box []byte) (home.Credential, error) {
	plain, err := s.key.Open(box, "vault/"+string(key))
	if err != nil {
		return home.Credential{}, err
	}
	var c credentialRecord
	if err := json.Unmarshal(plain, &c); err != nil {
		return home.Credential{}, fmt.Errorf("vault: %w", home.ErrCorrupt)
	}
	return home.Credential{
		Epoch: home.Epoch(boltfile.Number(key[len(key)-8:])), Username: c.Username,
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
func (s *Store) Credentials(id home.AccountID) ([]home.Credential, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]home.Credential, error) { return s.credentials(tx, id) })
}

// credentials returns the account's credentials: newest epoch first, then those without an epoch.
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

// merge fills what old lacks from add. What old has stays: a different password or secret of the same epoch is
// home.ErrForged.
func merge(old, add home.Credential) (home.Credential, error) {
	for _, f := range []struct{ have, more *home.Secret }{
		{&old.Password, &add.Password},
		{&old.EpochSecret, &add.EpochSecret},
	} {
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

// ForgetCredentials drops the credentials that no device needs: older than the newest keep of them, neither held by a
// bound device nor possibly held by one with an unfinished intent. It returns how many.
func (s *Store) ForgetCredentials(id home.AccountID, keep int) (dropped int, err error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (dropped int, err error) {
		a, err := accountOf(tx, id)
		if err != nil {
			return 0, err
		}
		needed, ok, err := neededEpochs(tx)
		if err != nil || !ok {
			return 0, err
		}
		needed[a.Epoch] = true
		prefix := credPrefix(id)
		var keys [][]byte
		c := tx.Bucket(bVault).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if len(k) == len(prefix)+8 {
				keys = append(keys, bytes.Clone(k))
			}
		}
		for _, k := range keys[:max(0, len(keys)-max(1, keep))] {
			if needed[home.Epoch(boltfile.Number(k[len(k)-8:]))] {
				continue
			}
			if err := tx.Bucket(bVault).Delete(k); err != nil {
				return 0, err
			}
			dropped++
		}
		return dropped, nil
	})
}

// neededEpochs returns the epochs that devices hold or may hold. ok is false where the epoch of a bound device is not
// known, or its records were damaged: it may hold any
// of them.
func neededEpochs(tx *bbolt.Tx) (needed map[home.Epoch]bool, ok bool, err error) {
	needed = map[home.Epoch]bool{}
	bound, err := bindings.all(tx)
	if err != nil || hasDamage(tx, home.DamagedDevice) || hasDamage(tx, home.DamagedIntent) {
		return nil, false, err
	}
	for _, b := range bound {
		if b.DeviceEpoch == 0 {
			return nil, false, nil
		}
		needed[b.DeviceEpoch] = true
	}
	unfinished, err := intents.all(tx)
	for _, i := range unfinished {
		for _, e := range i.Holds {
			needed[e] = true
		}
	}
	return needed, err == nil, err
}

func bindKey(id home.DeviceID) []byte { return []byte("bind/" + string(id)) }

// BindingSecrets returns the binding secrets of those devices that are bound.
func (s *Store) BindingSecrets(ids []home.DeviceID) (map[home.DeviceID]home.Key, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (map[home.DeviceID]home.Key, error) {
		secrets := make(map[home.DeviceID]home.Key, len(ids))
		for _, id := range ids {
			key := bindKey(id)
			box := tx.Bucket(bVault).Get(key)
			if box == nil {
				continue
			}
			plain, err := s.key.Open(box, "vault/"+string(key))
			if err != nil {
				return nil, err
			}
			secrets[id] = home.KeyBytes(plain)
		}
		return secrets, nil
	})
}
