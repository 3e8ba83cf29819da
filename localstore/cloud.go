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

func sessionKey(id home.AccountID) []byte { return []byte("session/" + string(id)) }

// enrolment is the result of EnrolCloud.
type enrolment struct {
	epoch home.Epoch
	stale int
}

// EnrolCloud has the hub follow an account at the vendor's cloud, which has just accepted the password of c. Where
// that is another one than the newest known, an epoch begins: the cloud counts none, so the hub does. It returns the
// epoch, and the number of stale bindings. Another account is refused until this one is left.
func (s *Store) EnrolCloud(
	a home.Account, c home.Credential, session home.CloudSession,
) (epoch home.Epoch, stale int, err error) {
	if a.Provider != home.TPLink || c.Password.IsZero() || c.Username == "" {
		return 0, 0, errors.New("enrol: no account of the vendor's cloud, or no password")
	}
	r, err := boltfile.Update(s.file, func(tx *bbolt.Tx) (enrolment, error) { return s.enrolCloud(tx, a, c, session) })
	return r.epoch, r.stale, err
}

// enrolCloud begins an epoch where the password is another one than the newest in the vault.
func (s *Store) enrolCloud(
	tx *bbolt.Tx, a home.Account, c home.Credential, session home.CloudSession,
) (r enrolment, err error) {
	old, err := account(tx)
	switch {
	case err == nil && old.ID != a.ID:
		return r, &home.Error{
			Op: "follow this account", Err: fmt.Errorf("this hub belongs to the account %s: %w", old.Email, home.ErrForeign),
			Hint: "stop rekeyd and start it with another --state directory for another account",
		}
	case err != nil && !errors.Is(err, home.ErrNoAccount):
		return r, err
	}
	if err != nil {
		if err := s.keepEarlier(tx, a.ID, a.Email); err != nil {
			return r, err
		}
	}
	a.BindLater = old.BindLater
	if a.Epoch, a.Exposed = old.Epoch, old.Exposed; err != nil { // the vault may hold epochs of an earlier membership
		held, err := s.credentials(tx, a.ID)
		if err != nil {
			return r, err
		}
		if len(held) > 0 {
			a.Epoch = held[0].Epoch
		}
	}
	newest, err := s.getCredential(tx, a.ID, a.Epoch)
	if err != nil {
		return r, err
	}
	if known := a.Epoch != 0 && newest.Password.Equal(c.Password) && newest.Username == c.Username; known {
		return enrolment{epoch: a.Epoch}, errors.Join(putAccount(tx, a), s.putSession(tx, a.ID, session))
	}
	if a.Epoch, err = a.Epoch.Next(); err != nil {
		return r, err
	}
	if err := forgetDamage(tx, home.DamagedPassword, ""); err != nil {
		return r, err
	}
	c.Epoch, r.epoch = a.Epoch, a.Epoch
	if err := errors.Join(given(tx), s.putCredential(tx, a.ID, c), putAccount(tx, a)); err != nil {
		return r, err
	}
	if r.stale, err = advance(tx, a); err != nil {
		return r, err
	}
	return r, errors.Join(recordBegun(tx, a.Epoch, r.stale), s.putSession(tx, a.ID, session))
}

// putSession writes the session at the vendor's cloud, sealed.
func (s *Store) putSession(tx *bbolt.Tx, id home.AccountID, c home.CloudSession) error {
	plain, err := json.Marshal(sessionRecord{c.URL, c.Token.Reveal(), c.Refresh.Reveal()})
	if err != nil {
		return err
	}
	key := sessionKey(id)
	return errors.Join(
		tx.Bucket(bVault).Put(key, s.key.Seal(plain, "vault/"+string(key))), forgetDamage(tx, home.DamagedSession, ""),
	)
}

// SaveCloudSession records the tokens of the hub's session at the vendor's cloud.
func (s *Store) SaveCloudSession(id home.AccountID, c home.CloudSession) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		return s.putSession(tx, id, c)
	})
}

// CloudSession returns the session that SaveCloudSession or EnrolCloud recorded; home.ErrNotFound where there is none.
func (s *Store) CloudSession(id home.AccountID) (home.CloudSession, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (home.CloudSession, error) {
		session, err := s.session(tx, id)
		if err == nil && session == (home.CloudSession{}) {
			err = fmt.Errorf("session of %s: %w", id, home.ErrNotFound)
		}
		return session, err
	})
}

// session opens the session at the vendor's cloud, the zero value where there is none.
func (s *Store) session(tx *bbolt.Tx, id home.AccountID) (home.CloudSession, error) {
	key := sessionKey(id)
	box := bytes.Clone(tx.Bucket(bVault).Get(key))
	if box == nil {
		return home.CloudSession{}, nil
	}
	plain, err := s.key.Open(box, "vault/"+string(key))
	if err != nil {
		return home.CloudSession{}, err
	}
	var k sessionRecord
	if err := json.Unmarshal(plain, &k); err != nil {
		return home.CloudSession{}, fmt.Errorf("session: %w", home.ErrCorrupt)
	}
	return home.CloudSession{URL: k.URL, Token: home.NewSecret(k.Token), Refresh: home.NewSecret(k.Refresh)}, nil
}
