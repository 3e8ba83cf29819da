package localstore

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func sessionKey(id home.AccountID) []byte { return []byte("session/" + string(id)) }

// sealedSession is a home.CloudSession on its way into the seal.
type sealedSession struct{ URL, Token, Refresh string }

// EnrolCloud has the hub follow an account at the vendor's cloud, which has just taken c's password. Where that is another than the newest that is
// known, an epoch begins: the cloud has none of its own, so the hub counts. It returns the epoch, and how many bindings are stale. Another
// account is refused as long as this one is not left.
func (s *Store) EnrolCloud(a home.Account, c home.Credential, session home.CloudSession) (epoch home.Epoch, stale int, err error) {
	if a.Provider != home.TPLink || c.Password.IsZero() || c.Username == "" {
		return 0, 0, errors.New("enrol: no account of the vendor's cloud, or no password")
	}
	err = s.update(func(tx *bbolt.Tx) error {
		stale = 0
		old, err := account(tx)
		switch {
		case err == nil && old.ID != a.ID:
			return &home.Error{
				Op: "follow this account", Err: fmt.Errorf("this hub belongs to the account %s: %w", old.Email, home.ErrForeign),
				Hint: "stop rekeyd and start it with another --state directory for another account",
			}
		case err != nil && !errors.Is(err, home.ErrNoAccount):
			return err
		}
		if a.Epoch = old.Epoch; err != nil { // what the vault holds of an earlier membership counts on
			held, err := s.credentials(tx, a.ID)
			if err != nil {
				return err
			}
			if len(held) > 0 {
				a.Epoch = held[0].Epoch
			}
		}
		a.CleartextBind, a.CleartextAsked = old.CleartextBind, old.CleartextAsked
		newest, err := s.getCredential(tx, a.ID, a.Epoch)
		if err != nil {
			return err
		}
		if fresh := a.Epoch == 0 || !newest.Password.Equal(c.Password) || newest.Username != c.Username; fresh {
			if a.Epoch, err = a.Epoch.Next(); err != nil {
				return err
			}
			c.Epoch = a.Epoch
			if err := s.putCredential(tx, a.ID, c); err != nil {
				return err
			}
			if err := putAccount(tx, a); err != nil {
				return err
			}
			if stale, err = advance(tx, a); err != nil {
				return err
			}
			if err := record(tx, home.Event{At: now(), What: "epoch begun", Epoch: a.Epoch, Detail: fmt.Sprintf("%d devices to rekey", stale)}); err != nil {
				return err
			}
		} else if err := putAccount(tx, a); err != nil {
			return err
		}
		epoch = a.Epoch
		return s.putSession(tx, a.ID, session)
	})
	return epoch, stale, err
}

func (s *Store) putSession(tx *bbolt.Tx, id home.AccountID, c home.CloudSession) error {
	plain, err := json.Marshal(sealedSession{c.URL, c.Token.Reveal(), c.Refresh.Reveal()})
	if err != nil {
		return err
	}
	key := sessionKey(id)
	return tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key)))
}

// SaveCloudSession keeps what the hub is signed in to the vendor's cloud with.
func (s *Store) SaveCloudSession(id home.AccountID, c home.CloudSession) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		return s.putSession(tx, id, c)
	})
}

// CloudSession returns what SaveCloudSession or EnrolCloud kept; home.ErrNotFound where there is nothing.
func (s *Store) CloudSession(id home.AccountID) (c home.CloudSession, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		key := sessionKey(id)
		box := tx.Bucket(bVault).Get(key)
		if box == nil {
			return fmt.Errorf("session of %s: %w", id, home.ErrNotFound)
		}
		plain, err := s.key.Open(box, "vault/"+string(key))
		if err != nil {
			return err
		}
		var k sealedSession
		if err := json.Unmarshal(plain, &k); err != nil {
			return fmt.Errorf("session: %w", home.ErrCorrupt)
		}
		c = home.CloudSession{URL: k.URL, Token: home.NewSecret(k.Token), Refresh: home.NewSecret(k.Refresh)}
		return nil
	})
	return c, err
}
