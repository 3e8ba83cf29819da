package localstore

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Account returns the account that the hub is enrolled with, or home.ErrNoAccount.
func (s *Store) Account() (a home.Account, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		a, err = account(tx)
		return err
	})
	return a, err
}

// account returns the one account: a hub belongs to one.
func account(tx *bbolt.Tx) (home.Account, error) {
	k, _ := tx.Bucket(bAccounts).Cursor().First()
	if k == nil {
		return home.Account{}, home.ErrNoAccount
	}
	a, _, err := get[home.Account](tx.Bucket(bAccounts), k)
	return a, err
}

// known is an account as it was last read.
type known struct {
	raw []byte
	a   home.Account
}

// account returns what the function of this name does. Every probe asks, and it changes with a reset only: it is decoded once. What
// is in its slices is not to be written to.
func (s *Store) account(tx *bbolt.Tx) (home.Account, error) {
	_, raw := tx.Bucket(bAccounts).Cursor().First()
	if k := s.known.Load(); k != nil && bytes.Equal(k.raw, raw) {
		return k.a, nil
	}
	a, err := account(tx)
	if err == nil {
		s.known.Store(&known{clone(raw), a})
	}
	return a, err
}

// accountOf returns the account if it is the one named.
func accountOf(tx *bbolt.Tx, id home.AccountID) (home.Account, error) {
	a, err := account(tx)
	if err == nil && a.ID != id {
		err = fmt.Errorf("account %s: %w", id, home.ErrNoAccount)
	}
	return a, err
}

func putAccount(tx *bbolt.Tx, a home.Account) error {
	return put(tx.Bucket(bAccounts), []byte(a.ID), a)
}

// Enrol makes the hub a member of an account, with the password that its owner typed (a zero credential where none was).
// Enrolling again with the same account keeps bindings, credentials and epochs; another account is refused as long as
// this one is not left.
func (s *Store) Enrol(a home.Account, c home.Credential) error {
	return s.update(func(tx *bbolt.Tx) error {
		old, err := account(tx)
		switch {
		case err == nil && old.ID != a.ID:
			return &home.Error{
				Op: "enrol this hub", Err: fmt.Errorf("it belongs to the account %s: %w", old.Email, home.ErrForeign),
				Hint: "stop rekeyd and start it with another --state directory for another account",
			}
		case err != nil && !errors.Is(err, home.ErrNoAccount):
			return err
		case a.NoticeEpoch < old.NoticeEpoch:
			return fmt.Errorf("enrol at epoch %d after %d: %w", a.NoticeEpoch, old.NoticeEpoch, home.ErrOldEpoch)
		case err == nil && a.NoticeEpoch == old.NoticeEpoch && !bytes.Equal(a.Notice, old.Notice):
			return fmt.Errorf("enrol with another notice of epoch %d: %w", a.NoticeEpoch, home.ErrForged)
		}
		a.Epoch = old.Epoch // what is in the vault; none before the first grant
		a.CleartextBind, a.CleartextAsked = old.CleartextBind, old.CleartextAsked
		if err := putAccount(tx, a); err != nil {
			return err
		}
		if !c.Password.IsZero() && c.Epoch != 0 {
			held, err := s.getCredential(tx, a.ID, c.Epoch)
			if err != nil {
				return err
			}
			// The service has just checked what was typed, so it counts more than what was kept.
			held.Username, held.Password = c.Username, c.Password
			if err := s.putCredential(tx, a.ID, held); err != nil {
				return err
			}
		}
		return record(tx, home.Event{At: now(), What: "hub enrolled"})
	})
}

// NoteNotice records a verified notice whose grant is outstanding. Older than what is known is home.ErrOldEpoch; another of the same epoch is
// home.ErrForged. The same again keeps the newer copy, which was signed later.
func (s *Store) NoteNotice(id home.AccountID, e home.Epoch, hash, raw []byte) error {
	return s.update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		switch {
		case e < a.NoticeEpoch:
			return fmt.Errorf("notice of epoch %d after %d: %w", e, a.NoticeEpoch, home.ErrOldEpoch)
		case e == a.NoticeEpoch && !bytes.Equal(hash, a.Notice):
			return fmt.Errorf("another notice of epoch %d: %w", e, home.ErrForged)
		case e == a.NoticeEpoch:
			a.NoticeJSON = raw
			return putAccount(tx, a)
		}
		a.NoticeEpoch, a.Notice, a.NoticeJSON = e, hash, raw
		if err := putAccount(tx, a); err != nil {
			return err
		}
		return record(tx, home.Event{At: now(), What: "password changed", Epoch: e})
	})
}

// BeginEpoch records a grant, with all that follows from it: the credential is in the vault, the account is at the epoch, its bindings
// are stale, the grant's acknowledgement is queued, sign-ins at older epochs are dropped. It returns how many bindings are stale. The
// same epoch again only sees that its acknowledgement is queued; an older one is home.ErrOldEpoch, another secret of that
// epoch is home.ErrForged.
func (s *Store) BeginEpoch(id home.AccountID, c home.Credential, hash, raw []byte, message string) (stale int, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		stale = 0
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		if c.Epoch < a.Epoch || c.Epoch == 0 {
			return fmt.Errorf("epoch %d after %d: %w", c.Epoch, a.Epoch, home.ErrOldEpoch)
		}
		ack := home.Errand{Kind: home.ErrandAck, Epoch: c.Epoch, At: now()}
		held, err := s.getCredential(tx, id, c.Epoch)
		if err != nil {
			return err
		}
		switch {
		case c.Epoch == a.Epoch && !held.EpochSecret.Equal(c.EpochSecret):
			return fmt.Errorf("another grant of epoch %d: %w", c.Epoch, home.ErrForged)
		case c.Epoch == a.Epoch && queuedAt(tx, ack.Kind, "") == c.Epoch:
			return nil
		case c.Epoch == a.Epoch:
			return enqueue(tx, ack)
		}
		// What was typed may be of another moment than the grant: the grant counts.
		if !c.Password.IsZero() {
			held.Password = home.Secret{}
		}
		if held, err = merge(held, c); err != nil {
			return err
		}
		if err := s.putCredential(tx, id, held); err != nil {
			return err
		}
		a.Epoch = c.Epoch
		if c.Epoch >= a.NoticeEpoch {
			a.NoticeEpoch, a.Notice, a.NoticeJSON = c.Epoch, hash, raw
		}
		if err := putAccount(tx, a); err != nil {
			return err
		}
		if stale, err = advance(tx, a); err != nil {
			return err
		}
		if err := enqueue(tx, ack); err != nil {
			return err
		}
		if err := heard(tx, message); err != nil {
			return err
		}
		return record(tx, home.Event{At: now(), What: "epoch begun", Epoch: a.Epoch, Detail: fmt.Sprintf("%d devices to rekey", stale)})
	})
	return stale, err
}

// advance brings every binding in line with an epoch that has just begun, and returns how many are stale.
func advance(tx *bbolt.Tx, a home.Account) (stale int, err error) {
	bindings, err := all[home.Binding](tx.Bucket(bBindings))
	if err != nil {
		return stale, err
	}
	for _, b := range bindings {
		v := b.Verdict.Against(a.Epoch)
		if !v.Same(b.Verdict) {
			b.Verdict, b.Since = v, now()
		}
		b.Tries, b.Moved, b.Reverts = 0, noTime, 0
		if v.State != home.LockedOut { // a lock-out is waited out, whatever the account does
			b.Next = noTime
		}
		if v.State == home.Stale {
			stale++
		}
		if err := put(tx.Bucket(bBindings), []byte(b.Device), b); err != nil {
			return stale, err
		}
		if err := dequeue(tx, home.ErrandSignIn, b.Device); err != nil {
			return stale, err
		}
		if v.State == home.Current { // it was seen to be there before the grant
			if err := follow(tx, a, b, now()); err != nil {
				return stale, err
			}
		}
	}
	return stale, nil
}

// SetBrokers keeps the MQTT brokers of the account, in the order in which they are tried.
func (s *Store) SetBrokers(id home.AccountID, brokers []string) error {
	return s.update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		a.Brokers = brokers
		return putAccount(tx, a)
	})
}

// AllowCleartextBind keeps the owner's word whether passwords may go nearly in the clear; see home.Account.
func (s *Store) AllowCleartextBind(allow bool) error {
	return s.update(func(tx *bbolt.Tx) error {
		a, err := account(tx)
		if err != nil {
			return err
		}
		a.CleartextBind, a.CleartextAsked = allow, true
		return putAccount(tx, a)
	})
}

// Leave ends the hub's membership, and with it every binding, intent and errand. The credentials stay in the vault, sealed, and are used
// again only by the same account: a device that holds one can still be opened after a return. The history stays.
func (s *Store) Leave(id home.AccountID) error {
	return s.update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		bindings, err := all[home.Binding](tx.Bucket(bBindings))
		if err != nil {
			return err
		}
		for _, b := range bindings {
			if err := forget(tx, b.Device); err != nil {
				return err
			}
		}
		errands, err := all[home.Errand](tx.Bucket(bOutbox).Bucket(bQueue))
		if err != nil {
			return err
		}
		for _, e := range errands {
			if err := dequeue(tx, e.Kind, e.Device); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bAccounts).Delete([]byte(id)); err != nil {
			return err
		}
		return record(tx, home.Event{At: now(), What: "account left"})
	})
}
