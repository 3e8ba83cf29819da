package boltstore

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// account opens a record.
func (s *Store) account(r accountRecord) (account.Account, error) {
	hash, err1 := s.open(r.Hash, "hash/"+r.ID)
	secret, err2 := s.open(r.Secret, "epoch/"+r.ID)
	newest, err3 := wire.ParseNotice([]byte(r.Notice))
	var ahead wire.Notice
	var err4 error
	if r.Ahead != "" {
		ahead, err4 = wire.ParseNotice([]byte(r.Ahead))
	}
	return account.Account{
		ID: r.ID, Email: r.Email, Hash: hash, Epoch: r.Epoch, Notice: newest, Secret: secret, Closed: r.Closed, Lang: r.Lang,
		At: at(r.At), Ahead: ahead,
		TerminalsSince: r.TerminalsSince,
	}, errors.Join(err1, err2, err3, err4)
}

// accountRecord seals an account; links are the keys of its live links.
func (s *Store) accountRecord(a account.Account, links []string) accountRecord {
	return accountRecord{
		ID: a.ID, Email: a.Email, Hash: s.seal(a.Hash, "hash/"+a.ID), Epoch: a.Epoch, Notice: notice(a.Notice.JWS()),
		Links:  links,
		Secret: s.seal(a.Secret, "epoch/"+a.ID), Closed: a.Closed, Lang: a.Lang, At: ms(a.At),
		TerminalsSince: a.TerminalsSince, Ahead: notice(a.Ahead.JWS()),
	}
}

// Account returns an account.
func (s *Store) Account(id string) (account.Account, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Account, error) { return s.findAccount(tx, id) })
}

func (s *Store) findAccount(tx *bbolt.Tx, id string) (account.Account, error) {
	r, err := find[accountRecord](tx, bktAccounts, []byte(id))
	if err != nil {
		return account.Account{}, err
	}
	return s.account(r)
}

// AccountByEmail finds the account of an address.
func (s *Store) AccountByEmail(email string) (account.Account, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Account, error) {
		return s.findAccount(tx, string(tx.Bucket(bktEmails).Get([]byte(account.Normal(email)))))
	})
}

// NoteAhead records a notice that the account's state does not have.
func (s *Store) NoteAhead(n wire.Notice) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := s.findAccount(tx, n.Account)
		if err != nil {
			return err
		}
		have := a.Newest()
		if n.Epoch < have.Epoch || n.Epoch == have.Epoch && (a.Ahead.Epoch == n.Epoch || bytes.Equal(n.Hash(), have.Hash())) {
			return nil
		}
		r, err := find[accountRecord](tx, bktAccounts, []byte(n.Account))
		r.Ahead = notice(n.JWS())
		return errors.Join(err, boltfile.Put(tx.Bucket(bktAccounts), []byte(n.Account), r))
	})
}

// CreateAccount stores a new account, and ends the registration with the key use.
func (s *Store) CreateAccount(a account.Account, use string, history ...account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		email := []byte(account.Normal(a.Email))
		if tx.Bucket(bktEmails).Get(email) != nil {
			return account.ErrTaken
		}
		if use != "" {
			if tx.Bucket(bktRegistrations).Get([]byte(use)) == nil {
				return account.ErrUsed
			}
			err := errors.Join(tx.Bucket(bktRegistrations).Delete([]byte(use)), tx.Bucket(bktNewest).Delete(email))
			if err != nil {
				return err
			}
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktAccounts), []byte(a.ID), s.accountRecord(a, nil)),
			tx.Bucket(bktEmails).Put(email, []byte(a.ID)), record(tx, a.ID, history...))
	})
}

// Rehash replaces the hash of the account's password.
func (s *Store) Rehash(id string, epoch uint64, hash home.Secret) error {
	return s.changeAccount(id, func(r *accountRecord) error {
		if r.Epoch != epoch {
			return account.ErrEpoch
		}
		r.Hash = s.seal(hash, "hash/"+id)
		return nil
	})
}

// SetLanguage sets the language of the account's mails.
func (s *Store) SetLanguage(id, lang string) error {
	return s.changeAccount(id, func(r *accountRecord) error { r.Lang = lang; return nil })
}

func (s *Store) changeAccount(id string, change func(*accountRecord) error) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := find[accountRecord](tx, bktAccounts, []byte(id))
		if err == nil {
			err = change(&r)
		}
		if err != nil {
			return err
		}
		return boltfile.Put(tx.Bucket(bktAccounts), []byte(id), r)
	})
}
