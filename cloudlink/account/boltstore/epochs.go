package boltstore

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// BeginEpoch changes the password.
func (s *Store) BeginEpoch(t account.EpochChange) error {
	id := t.Account.ID
	return s.file.Update(func(tx *bbolt.Tx) error {
		old, err := find[accountRecord](tx, bktAccounts, []byte(id))
		if err != nil {
			return err
		}
		was, err := s.account(old)
		if err != nil {
			return err
		}
		switch last := was.Newest().Epoch; {
		case last+1 != t.Account.Epoch || last+1 == 0: // the last epoch must not wrap
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
			// The member replaced its key meanwhile: only a copy of the old one could open this grant.
			if !ok || !bytes.Equal(g.Seal, m.member().SealKey()) {
				return account.ErrMembers
			}
			if err := putGrant(tx, g, t.Account.Epoch); err != nil {
				return err
			}
		}
		if t.Disown.Key != "" {
			links = append(links, t.Disown.Key)
			err = putLink(tx, t.Disown)
		}
		r := s.accountRecord(t.Account, links)
		r.Lang = old.Lang
		return errors.Join(err, boltfile.Put(tx.Bucket(bktAccounts), []byte(id), r),
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
		return errors.Join(
			boltfile.Put(tx.Bucket(bktAccounts), []byte(r.ID), r), putLink(tx, l), s.queue(tx, m), record(tx, r.ID, e),
		)
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
		return removed, errors.Join(
			boltfile.Put(tx.Bucket(bktAccounts), []byte(r.ID), r), putLink(tx, d.Reset),
			boltfile.DeletePrefix(tx.Bucket(bktSessions), under(d.Account, nil)),
			s.queue(tx, d.Mail), record(tx, d.Account, d.Event),
		)
	})
}
