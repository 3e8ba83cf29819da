package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// OpenSession stores the sessions of one login.
func (s *Store) OpenSession(epoch uint64, ss ...account.Session) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		for _, v := range ss {
			a, err := find[accountRecord](tx, bktAccounts, []byte(v.Account))
			if errors.Is(err, home.ErrNotFound) || err == nil && (a.Epoch != epoch || a.Closed) {
				return account.ErrEpoch
			}
			if err := errors.Join(err, putSession(tx, v)); err != nil {
				return err
			}
		}
		return nil
	})
}

func putSession(tx *bbolt.Tx, v account.Session) error {
	return boltfile.Put(tx.Bucket(bktSessions), under(v.Account, []byte(v.Key)), sessionRecord{
		Refresh: v.Refresh, Entry: v.Entry, Door: v.Door, Terminal: v.Terminal, At: ms(v.At), Expires: ms(v.Expires),
	})
}

func (r sessionRecord) session(id, key string) account.Session {
	return account.Session{
		Key: key, Account: id, Entry: r.Entry, Refresh: r.Refresh, Door: r.Door, Terminal: r.Terminal, At: at(r.At),
		Expires: at(r.Expires),
	}
}

// Session returns the session of a token.
func (s *Store) Session(id, key string) (account.Session, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Session, error) {
		r, err := find[sessionRecord](tx, bktSessions, under(id, []byte(key)))
		return r.session(id, key), err
	})
}

// RenewSession stores a session that a refresh token renews.
func (s *Store) RenewSession(old string, v account.Session) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := find[sessionRecord](tx, bktSessions, under(v.Account, []byte(old)))
		if err == nil && !r.Refresh {
			err = home.ErrNotFound
		}
		return errors.Join(err, putSession(tx, v))
	})
}

// Sessions returns the sessions of an account.
func (s *Store) Sessions(id string) ([]account.Session, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]account.Session, error) { return sessions(tx, id) })
}

func sessions(tx *bbolt.Tx, id string) (all []account.Session, err error) {
	prefix := under(id, nil)
	err = boltfile.Each(tx.Bucket(bktSessions), prefix, func(k []byte, r sessionRecord) error {
		all = append(all, r.session(id, string(k[len(prefix):])))
		return nil
	})
	return all, err
}

// EndSession ends all sessions of one entry.
func (s *Store) EndSession(id, entry string, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		all, err := sessions(tx, id)
		found := false
		for _, v := range all {
			if v.Entry == entry {
				found = true
				err = errors.Join(err, tx.Bucket(bktSessions).Delete(under(id, []byte(v.Key))))
			}
		}
		if err == nil && !found {
			err = home.ErrNotFound
		}
		return errors.Join(err, record(tx, id, e))
	})
}

// EndSessions ends every session of an account.
func (s *Store) EndSessions(id string, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		return errors.Join(boltfile.DeletePrefix(tx.Bucket(bktSessions), under(id, nil)), record(tx, id, e))
	})
}
