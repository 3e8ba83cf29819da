package boltstore

import (
	"bytes"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// account opens a record.
func (s *Store) account(r accountRecord) (account.Account, error) {
	hash, err1 := s.open(r.Hash, "hash/"+r.ID)
	secret, err2 := s.open(r.Secret, "epoch/"+r.ID)
	newest, err3 := wire.ParseNotice([]byte(r.Notice))
	return account.Account{
		ID: r.ID, Email: r.Email, Hash: hash, Epoch: r.Epoch, Notice: newest, Secret: secret, Closed: r.Closed, Lang: r.Lang, At: at(r.At),
		TerminalsSince: r.TerminalsSince,
	}, errors.Join(err1, err2, err3)
}

// accountRecord seals an account; links are the keys of its live links.
func (s *Store) accountRecord(a account.Account, links []string) accountRecord {
	return accountRecord{
		ID: a.ID, Email: a.Email, Hash: s.seal(a.Hash, "hash/"+a.ID), Epoch: a.Epoch, Notice: notice(a.Notice.JWS()), Links: links,
		Secret: s.seal(a.Secret, "epoch/"+a.ID), Closed: a.Closed, Lang: a.Lang, At: ms(a.At),
		TerminalsSince: a.TerminalsSince,
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
			if err := errors.Join(tx.Bucket(bktRegistrations).Delete([]byte(use)), tx.Bucket(bktNewest).Delete(email)); err != nil {
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

// BeginEpoch changes the password.
func (s *Store) BeginEpoch(t account.Turn) error {
	id := t.Account.ID
	return s.file.Update(func(tx *bbolt.Tx) error {
		old, err := find[accountRecord](tx, bktAccounts, []byte(id))
		switch {
		case err != nil:
			return err
		case old.Epoch+1 != t.Account.Epoch || old.Epoch+1 == 0: // the last epoch must not wrap
			return account.ErrEpoch
		case old.Closed && t.Use == "": // a change with the disowned password was in progress
			return account.ErrEpoch
		}
		if err := useLink(tx, t.Use, id, old.Epoch); err != nil {
			return err
		}
		links, err := dropLinks(tx, old.Links, t.AllLinks)
		if err != nil {
			return err
		}
		for _, hub := range t.LeaveOut {
			if m, err := find[memberRecord](tx, bktMembers, []byte(hub)); err == nil && m.Account == id && account.IsHub(hub) {
				if err := expel(tx, m); err != nil {
					return err
				}
			}
		}
		granted := map[string]account.Grant{}
		for _, g := range t.Grants {
			granted[g.Member] = g
		}
		for _, name := range parts(tx, bktHouses, id) {
			g, ok := granted[name]
			m, err := find[memberRecord](tx, bktMembers, []byte(name))
			if err != nil {
				return err
			}
			// A grant to a key that the member has replaced meanwhile could be opened by a copy of the old one, and by nobody else.
			if !ok || !bytes.Equal(g.Seal, m.member().SealKey()) {
				return account.ErrMembers
			}
			if err := putGrant(tx, g, t.Account.Epoch); err != nil {
				return err
			}
		}
		r := s.accountRecord(t.Account, append(links, t.Disown.Key))
		r.Lang = old.Lang
		return errors.Join(boltfile.Put(tx.Bucket(bktAccounts), []byte(id), r), putLink(tx, t.Disown),
			boltfile.DeletePrefix(tx.Bucket(bktSessions), under(id, nil)), s.queue(tx, t.Mail), record(tx, id, t.Event))
	})
}

// OfferReset stores a reset link in place of earlier ones.
func (s *Store) OfferReset(l account.MailLink, m mail.Mail, e account.Event) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		r, err := find[accountRecord](tx, bktAccounts, []byte(l.Account))
		if err == nil && r.Epoch != l.Epoch {
			err = account.ErrEpoch
		}
		if err != nil {
			return err
		}
		links, err := dropLinks(tx, r.Links, false)
		if err != nil {
			return err
		}
		r.Links = append(links, l.Key)
		return errors.Join(boltfile.Put(tx.Bucket(bktAccounts), []byte(r.ID), r), putLink(tx, l), s.queue(tx, m), record(tx, r.ID, e))
	})
}

// Disown closes an account to the password that was set, and removes the hubs that came since.
func (s *Store) Disown(d account.Disowning) (removed int, err error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (int, error) {
		r, err := find[accountRecord](tx, bktAccounts, []byte(d.Account))
		if err == nil {
			err = useLink(tx, d.Use, d.Account, 0)
		}
		if err != nil {
			return 0, err
		}
		if r.Epoch != d.Reset.Epoch {
			return 0, account.ErrEpoch
		}
		links, err := dropLinks(tx, r.Links, false)
		if err == nil {
			err = dropUnusedPairings(tx, d.Account)
		}
		if err != nil {
			return 0, err
		}
		removed := 0
		for _, name := range parts(tx, bktHouses, d.Account) {
			m, err := find[memberRecord](tx, bktMembers, []byte(name))
			if errors.Is(err, home.ErrNotFound) {
				continue // a native device, gone with its hub
			}
			if err == nil && account.IsHub(name) && !at(m.At).Before(d.Since) {
				removed++
				err = expel(tx, m)
			}
			if err != nil {
				return 0, err
			}
		}
		r.Closed, r.Links = true, append(links, d.Reset.Key)
		return removed, errors.Join(boltfile.Put(tx.Bucket(bktAccounts), []byte(r.ID), r), putLink(tx, d.Reset),
			boltfile.DeletePrefix(tx.Bucket(bktSessions), under(d.Account, nil)), s.queue(tx, d.Mail), record(tx, d.Account, d.Event))
	})
}

// MailLink returns the link of a token.
func (s *Store) MailLink(key string) (account.MailLink, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.MailLink, error) {
		r, err := find[linkRecord](tx, bktLinks, []byte(key))
		return account.MailLink{
			Key: key, Purpose: r.Purpose, Account: r.Account, Epoch: r.Epoch, Door: r.Door, At: at(r.At), Expires: at(r.Expires),
		}, err
	})
}

func putLink(tx *bbolt.Tx, l account.MailLink) error {
	r := linkRecord{Purpose: l.Purpose, Account: l.Account, Epoch: l.Epoch, Door: l.Door, At: ms(l.At), Expires: ms(l.Expires)}
	return boltfile.Put(tx.Bucket(bktLinks), []byte(l.Key), r)
}

// useLink uses a link of the account up; of many at once, one finds it. epoch is that of a reset link, 0 for any.
func useLink(tx *bbolt.Tx, key, id string, epoch uint64) error {
	if key == "" {
		return nil
	}
	l, err := find[linkRecord](tx, bktLinks, []byte(key))
	if errors.Is(err, home.ErrNotFound) || err == nil && (l.Account != id || epoch != 0 && l.Epoch != epoch) {
		return account.ErrUsed
	}
	return errors.Join(err, tx.Bucket(bktLinks).Delete([]byte(key)))
}

// dropLinks deletes the reset links among an account's links, or all of them, and returns the others that still exist.
func dropLinks(tx *bbolt.Tx, links []string, all bool) (left []string, err error) {
	for _, key := range links {
		l, ok, err := boltfile.Get[linkRecord](tx.Bucket(bktLinks), []byte(key))
		switch {
		case err != nil:
			return nil, err
		case !ok || slices.Contains(left, key): // used, or swept
		case all || l.Purpose == account.PurposeReset:
			if err := tx.Bucket(bktLinks).Delete([]byte(key)); err != nil {
				return nil, err
			}
		default:
			left = append(left, key)
		}
	}
	return left, nil
}

// Register stores a registration.
func (s *Store) Register(r account.Registration, m mail.Mail) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		rec := registrationRecord{
			Account: r.Account, Email: r.Email, Hash: s.seal(r.Hash, "hash/"+r.Account), Door: r.Door, Lang: r.Lang, At: ms(r.At),
			Expires: ms(r.Expires),
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktRegistrations), []byte(r.Key), rec),
			tx.Bucket(bktNewest).Put([]byte(account.Normal(r.Email)), []byte(r.Key)), s.queue(tx, m))
	})
}

// Registration returns the registration of a token.
func (s *Store) Registration(key string) (account.Registration, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Registration, error) { return s.registration(tx, []byte(key)) })
}

// NewestRegistration finds the last registration of an address.
func (s *Store) NewestRegistration(email string) (account.Registration, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (account.Registration, error) {
		return s.registration(tx, tx.Bucket(bktNewest).Get([]byte(account.Normal(email))))
	})
}

func (s *Store) registration(tx *bbolt.Tx, key []byte) (account.Registration, error) {
	r, err := find[registrationRecord](tx, bktRegistrations, key)
	if err != nil {
		return account.Registration{}, err
	}
	hash, err := s.open(r.Hash, "hash/"+r.Account)
	return account.Registration{
		Key: string(key), Account: r.Account, Email: r.Email, Hash: hash, Door: r.Door, Lang: r.Lang, At: at(r.At), Expires: at(r.Expires),
	}, err
}
