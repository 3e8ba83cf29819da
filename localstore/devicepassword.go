package localstore

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func devicePasswordKey(id home.DeviceID) []byte { return []byte("device-password/" + string(id)) }

// SetDevicePassword keeps the password of a bound device's own, sealed, with its binding. It begins a new record of the
// device's sign-ins. A device that is not bound is home.ErrNotFound.
func (s *Store) SetDevicePassword(id home.DeviceID, password home.Secret) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if !bindings.has(tx, string(id)) {
			return notBound(id)
		}
		key, vault := devicePasswordKey(id), tx.Bucket(bVault)
		if err := vault.Delete(signInsKey(id)); err != nil {
			return err
		}
		if err := vault.Put(key, s.key.Seal([]byte(password.Reveal()), "vault/"+string(key))); err != nil {
			return err
		}
		return record(tx, home.Event{At: now(), What: "device password given", Device: id})
	})
}

// devicePassword returns the password of a device's own, zero where there is none.
func (s *Store) devicePassword(tx *bbolt.Tx, id home.DeviceID) (home.Secret, error) {
	key := devicePasswordKey(id)
	box := bytes.Clone(tx.Bucket(bVault).Get(key))
	if box == nil {
		return home.Secret{}, nil
	}
	plain, err := s.key.Open(box, "vault/"+string(key))
	return home.SecretBytes(plain), err
}

// accepted reports whether the vendor's cloud accepted the account's newest password from this hub, and has not ended
// that sign-in: its session is still there.
func (s *Store) accepted(tx *bbolt.Tx, a home.Account) (bool, error) {
	if a.Provider != home.TPLink {
		return false, nil
	}
	session, err := s.session(tx, a.ID)
	return !session.Token.IsZero(), err
}
