package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Enrol makes a member.
func (s *Store) Enrol(e account.Enrolment) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		m := e.Member
		a, err := find[accountRecord](tx, bktAccounts, []byte(m.Account))
		if err == nil && (a.Closed || a.Epoch != e.Grant.Notice.Epoch) {
			err = account.ErrEpoch
		}
		if err != nil {
			return err
		}
		last, _, err := boltfile.Get[answeredRecord](tx.Bucket(bktAnswered), []byte(m.Name))
		if err != nil {
			return err
		}
		old, known, err := boltfile.Get[memberRecord](tx.Bucket(bktMembers), []byte(m.Name))
		if err != nil {
			return err
		}
		added := true
		switch {
		case known && old.Account != m.Account && m.IsHub():
			return home.ErrForeign
		case known && old.Account != m.Account: // a device's owner has reset it, or its account has unbound it
			if err := expel(tx, old); err != nil {
				return err
			}
		case known:
			added = false
			m.At = at(old.At)
		}
		unused := false
		if m.IsHub() {
			if unused, err = usePairing(tx, e.Pairing, m); err != nil {
				return err
			}
		}
		if e.Seq < last.Seq && !unused {
			return account.ErrReplayed
		}
		if !m.IsHub() {
			if err := s.putBindingSecret(tx, m, e.Secret); err != nil {
				return err
			}
		}
		if added {
			if err := s.reportMember(tx, a, e); err != nil {
				return err
			}
		}
		return errors.Join(boltfile.Put(tx.Bucket(bktMembers), []byte(m.Name), recordOf(m)),
			tx.Bucket(bktHouses).Put(under(m.Account, []byte(m.Name)), nil), putGrant(tx, e.Grant, a.Epoch),
			boltfile.Put(tx.Bucket(bktAnswered), []byte(m.Name), answeredRecord{Seq: e.Seq}))
	})
}

// reportMember records a new member in the history, and queues the mail to the account's owner with its link.
func (s *Store) reportMember(tx *bbolt.Tx, a accountRecord, e account.Enrolment) error {
	err := errors.Join(s.queue(tx, e.Mail), record(tx, a.ID, e.Event))
	if err != nil || e.Disown.Key == "" {
		return err
	}
	a.Links = append(a.Links, e.Disown.Key) // a reset link stays: a hub that enters must not end it
	return errors.Join(putLink(tx, e.Disown), boltfile.Put(tx.Bucket(bktAccounts), []byte(a.ID), a))
}

// putBindingSecret stores the binding secret of a native device that a hub of the account has bound.
func (s *Store) putBindingSecret(tx *bbolt.Tx, m account.Member, secret home.Key) error {
	key := under(m.Account, []byte(m.Name))
	d, err := find[deviceRecord](tx, bktDevices, key)
	if err == nil && !isNative(d) {
		err = home.ErrNotFound
	}
	if err != nil {
		return err
	}
	d.Secret = s.key.Seal(secret.Reveal(), bindingPlace(d))
	return boltfile.Put(tx.Bucket(bktDevices), key, d)
}

// AccountsOfNative returns the accounts that have bound a native device.
func (s *Store) AccountsOfNative(device string) ([]string, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) ([]string, error) { return parts(tx, bktNatives, device), nil })
}
