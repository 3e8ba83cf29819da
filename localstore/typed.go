package localstore

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// An account whose service sends no grants: its owner types each new password, and the service was asked whether it is right.

// Typed makes the hub a member of such an account, or, where it is one, begins the epoch of a new password with all that follows from it.
// The newest password again begins nothing: only the session is new. Another account is refused as long as this one is not left.
func (s *Store) Typed(a home.Account, username string, password home.Secret, session home.CloudSession) (newest home.Epoch, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		old, err := account(tx)
		switch {
		case err == nil && old.ID != a.ID:
			return elsewhere(old)
		case err != nil && !errors.Is(err, home.ErrNoAccount):
			return err
		}
		joined := err != nil
		a.Epoch, a.CleartextBind, a.CleartextAsked = old.Epoch, old.CleartextBind, old.CleartextAsked
		if joined { // the vault may know it from an earlier membership
			held, err := s.credentials(tx, a.ID)
			if err != nil {
				return err
			}
			if len(held) > 0 {
				a.Epoch = held[0].Epoch
			}
		}
		held, err := s.getCredential(tx, a.ID, a.Epoch)
		if err != nil {
			return err
		}
		begins := a.Epoch == 0 || !held.Password.Equal(password)
		if begins {
			if a.Epoch, err = a.Epoch.Next(); err != nil {
				return err
			}
		}
		newest = a.Epoch
		if err := s.putCredential(tx, a.ID, home.Credential{Epoch: a.Epoch, Username: username, Password: password}); err != nil {
			return err
		}
		if err := s.putSession(tx, a.ID, session); err != nil {
			return err
		}
		if err := putAccount(tx, a); err != nil {
			return err
		}
		if joined {
			if err := record(tx, home.Event{At: now(), What: "hub enrolled"}); err != nil {
				return err
			}
		}
		if !begins {
			return nil
		}
		stale, err := age(tx, a)
		if err != nil {
			return err
		}
		return record(tx, home.Event{At: now(), What: "epoch begun", Epoch: a.Epoch, Detail: fmt.Sprintf("%d devices to rekey", stale)})
	})
	return newest, err
}

// session is a home.CloudSession on its way into the seal.
type session struct {
	URL, Token, Refresh string
	Ended               bool
}

func sessionKey(id home.AccountID) []byte { return []byte("session/" + string(id)) }

func (s *Store) putSession(tx *bbolt.Tx, id home.AccountID, c home.CloudSession) error {
	plain, err := json.Marshal(session{c.URL, c.Token.Reveal(), c.Refresh.Reveal(), c.Ended})
	if err != nil {
		return err
	}
	key := sessionKey(id)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

// Session returns the hub's sign-in at the account's cloud; a zero one where it has none.
func (s *Store) Session(id home.AccountID) (c home.CloudSession, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		c, err = s.session(tx, id)
		return err
	})
	return c, err
}

func (s *Store) session(tx *bbolt.Tx, id home.AccountID) (home.CloudSession, error) {
	key := sessionKey(id)
	box := tx.Bucket(bVault).Get(key)
	if box == nil {
		return home.CloudSession{}, nil
	}
	plain, err := s.key.Open(box, "vault/"+string(key))
	if err != nil {
		return home.CloudSession{}, err
	}
	var c session
	if err := json.Unmarshal(plain, &c); err != nil {
		return home.CloudSession{}, fmt.Errorf("vault: %w", home.ErrCorrupt)
	}
	return home.CloudSession{URL: c.URL, Token: home.NewSecret(c.Token), Refresh: home.NewSecret(c.Refresh), Ended: c.Ended}, nil
}

// Renewed keeps what became of a session: a new token, or its end, which the history tells of. It returns home.ErrOldEpoch, and changes
// nothing, where the owner has begun another meanwhile.
func (s *Store) Renewed(id home.AccountID, was, is home.CloudSession) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		held, err := s.session(tx, id)
		if err != nil {
			return err
		}
		if held != was {
			return fmt.Errorf("session of %s: %w", id, home.ErrOldEpoch)
		}
		if err := s.putSession(tx, id, is); err != nil {
			return err
		}
		if is.Ended && !was.Ended {
			return record(tx, home.Event{At: now(), What: "cloud ended the session", Detail: "the password was changed, or the session ran out"})
		}
		return nil
	})
}
