package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

var replacedName = []byte("replaced")

// Renew makes the hub of this store another one, after a restore: it gets new keys, and each device a new binding
// secret. The vault, the bindings and the epochs stay. What the account service must receive is queued again. replaced
// is the name of the hub that the account service still lists; empty for none.
func (s *Store) Renew(replaced string) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if err := s.renewKeys(tx); err != nil {
			return err
		}
		a, err := account(tx)
		if errors.Is(err, home.ErrNoAccount) {
			return nil
		}
		all, aerr := bindings.all(tx)
		if err := errors.Join(err, aerr, clearOutbox(tx)); err != nil {
			return err
		}
		for _, b := range all {
			b.CloudEpoch = 0 // the sign-in was the other hub's
			key := bindKey(b.Device)
			err = errors.Join(err, bindings.put(tx, string(b.Device), b),
				tx.Bucket(bVault).Put(key, s.key.Seal(random32(), "vault/"+string(key))))
		}
		if replaced != "" && a.Provider == home.Home {
			err = errors.Join(err, boltfile.Put(tx.Bucket(bHub), replacedName, replaced))
		}
		if a.Provider == home.Home {
			err = errors.Join(err, announceAgain(tx, a))
		}
		return errors.Join(err, assumeSpent(tx), record(tx, home.Event{At: now(), What: "state restored from a backup"}))
	})
}

// renewKeys replaces the hub's keys, and deletes what belonged to the old ones.
func (s *Store) renewKeys(tx *bbolt.Tx) error {
	seeds, err := json.Marshal([2][]byte{random32(), random32()})
	b := tx.Bucket(bHub)
	return errors.Join(err, b.Put(keysName, s.key.Seal(seeds, "hub/keys")), b.Delete(sealingName), b.Delete(bootName),
		b.Delete(terminalName), b.Delete(replacedName))
}

// clearOutbox deletes all waiting errands.
func clearOutbox(tx *bbolt.Tx) error {
	return errors.Join(boltfile.DeletePrefix(queue.bucket(tx), nil), boltfile.DeletePrefix(outboxIndex(tx), nil))
}

// Replaced returns the name of the hub that this one replaces after a restore, and which the account service may still
// list; empty for none.
func (s *Store) Replaced() (string, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (string, error) {
		name, _, err := boltfile.Get[string](tx.Bucket(bHub), replacedName)
		return name, err
	})
}

// ForgetReplaced records that the account service does not list the replaced hub any more.
func (s *Store) ForgetReplaced() error {
	return s.file.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bHub).Delete(replacedName) })
}

// keptOfEarlier is how many passwords of an earlier account are tried after a hub has left it.
const keptOfEarlier = 8

// keepEarlier remembers for a new account the newest passwords that the vault has of other accounts of the same e-mail
// address: after the account service has lost everything, devices still hold them.
func (s *Store) keepEarlier(tx *bbolt.Tx, id home.AccountID, email string) error {
	held, err := s.credentials(tx, id)
	if err != nil {
		return err
	}
	type box struct{ key, sealed []byte }
	var boxes []box
	c := tx.Bucket(bVault).Cursor()
	for k, v := c.Seek([]byte("cred/")); bytes.HasPrefix(k, []byte("cred/")); k, v = c.Next() {
		if !bytes.HasPrefix(k, credPrefix(id)) {
			boxes = append(boxes, box{bytes.Clone(k), bytes.Clone(v)})
		}
	}
	for _, b := range boxes[max(0, len(boxes)-keptOfEarlier):] {
		cr, err := s.openCredential(b.key, b.sealed)
		if err != nil {
			return err
		}
		if cr.Password.IsZero() || !strings.EqualFold(cr.Username, email) || holds(held, cr) {
			continue
		}
		if err := s.putRemembered(tx, id, cr); err != nil {
			return err
		}
		held = append(held, cr)
	}
	return nil
}
