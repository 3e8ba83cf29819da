package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// Account returns the account that the hub is enrolled with, or home.ErrNoAccount.
func (s *Store) Account() (home.Account, error) { return boltfile.View(s.file, s.account) }

// account reads the one account: a hub belongs to one.
func account(tx *bbolt.Tx) (home.Account, error) {
	k, _ := accounts.bucket(tx).Cursor().First()
	if k == nil {
		return home.Account{}, home.ErrNoAccount
	}
	a, _, err := accounts.get(tx, string(k))
	return a, err
}

// decodedAccount is an account with the bytes that it was decoded from.
type decodedAccount struct {
	raw []byte
	a   home.Account
}

// account is the function account, which decodes only what has changed: every probe reads the account, and it changes
// with a reset. The slices in it must not be written to.
func (s *Store) account(tx *bbolt.Tx) (home.Account, error) {
	_, raw := accounts.bucket(tx).Cursor().First()
	if d := s.decoded.Load(); d != nil && raw != nil && bytes.Equal(d.raw, raw) {
		return d.a, nil
	}
	a, err := account(tx)
	if err == nil {
		s.decoded.Store(&decodedAccount{bytes.Clone(raw), a})
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

func putAccount(tx *bbolt.Tx, a home.Account) error { return accounts.put(tx, string(a.ID), a) }

// Enrol makes the hub a member of an account, with the password that its owner typed (a zero credential where none
// was). Enrolling again with the same account keeps bindings, credentials and epochs, and queues what the account
// service may have forgotten: each binding, and the sign-in of each device that holds the newest epoch. Another account
// is refused as long as this one is not left.
func (s *Store) Enrol(a home.Account, c home.Credential) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
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
		case err == nil && a.NoticeEpoch == old.NoticeEpoch && !bytes.Equal(a.Notice, old.Notice) && !olderNotice(old):
			return fmt.Errorf("enrol with another notice of epoch %d: %w", a.NoticeEpoch, home.ErrForged)
		}
		a.Epoch, a.Exposed, a.BindLater = old.Epoch, old.Exposed, old.BindLater // the vault's epoch; 0 before the first grant
		if err := putAccount(tx, a); err != nil {
			return err
		}
		if old.ID != "" && old.NoticeEpoch < a.NoticeEpoch { // this state may come from a backup
			if err := assumeSpent(tx); err != nil {
				return err
			}
		}
		if old.ID == "" {
			if err := s.keepEarlier(tx, a.ID, a.Email); err != nil {
				return err
			}
		}
		if !c.Password.IsZero() && c.Epoch != 0 {
			held, err := s.getCredential(tx, a.ID, c.Epoch)
			if err != nil {
				return err
			}
			// The service has just checked the typed password, so it replaces the recorded one.
			held.Username, held.Password = c.Username, c.Password
			if err := errors.Join(given(tx), s.putCredential(tx, a.ID, held)); err != nil {
				return err
			}
		}
		return errors.Join(announceAgain(tx, a), forgetDamage(tx, home.DamagedPassword, ""),
			record(tx, home.Event{At: now(), What: "hub enrolled"}))
	})
}

// olderNotice returns whether the account's notice is of the link's older form, a JSON object. The service has signed
// it anew, so its hash cannot be compared.
func olderNotice(a home.Account) bool { return bytes.HasPrefix(a.NoticeJSON, []byte("{")) }

// announceAgain queues each binding of an account, and the sign-in of each device that holds its newest epoch.
func announceAgain(tx *bbolt.Tx, a home.Account) error {
	bs, err := bindings.all(tx)
	for _, b := range bs {
		if b.Account != a.ID {
			continue
		}
		err = errors.Join(err, takeOver(tx, a, b))
	}
	return err
}

// NoteNotice records a verified notice whose grant is outstanding. Older than what is known is home.ErrOldEpoch;
// another of the same epoch is home.ErrForged. The same again keeps the newer copy, which was signed later.
func (s *Store) NoteNotice(id home.AccountID, e home.Epoch, hash, raw []byte) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
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

// Expose records that an epoch begins because somebody else may know an older password. It never decreases.
func (s *Store) Expose(id home.AccountID, e home.Epoch) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil || e <= a.Exposed {
			return err
		}
		a.Exposed = e
		return putAccount(tx, a)
	})
}

// BindLater records the owner's order to bind devices that prove a password of the account as soon as they do, or its
// end.
func (s *Store) BindLater(id home.AccountID, on bool) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil || a.BindLater == on {
			return err
		}
		a.BindLater = on
		return putAccount(tx, a)
	})
}

// BeginEpoch records a grant with all its consequences: the credential is in the vault, the account is at the epoch,
// its bindings are stale, the acknowledgement of the grant is queued, sign-ins at older epochs are dropped. It
// returns the number of stale bindings. The same epoch again only queues its acknowledgement, where none waits; an
// older epoch is home.ErrOldEpoch, another secret of the same epoch is home.ErrForged.
func (s *Store) BeginEpoch(id home.AccountID, c home.Credential, hash, raw []byte) (stale int, err error) {
	return boltfile.Update(s.file, func(tx *bbolt.Tx) (int, error) {
		a, err := accountOf(tx, id)
		if err != nil {
			return 0, err
		}
		if c.Epoch < a.Epoch || c.Epoch == 0 {
			return 0, fmt.Errorf("epoch %d after %d: %w", c.Epoch, a.Epoch, home.ErrOldEpoch)
		}
		ack := home.Errand{Kind: home.ErrandAck, Epoch: c.Epoch, At: now()}
		held, err := s.getCredential(tx, id, c.Epoch)
		if err != nil {
			return 0, err
		}
		switch {
		case c.Epoch == a.Epoch && held.EpochSecret.IsZero(): // it was damaged, and is granted again
			if held, err = merge(held, c); err != nil {
				return 0, err
			}
			return 0, errors.Join(s.putCredential(tx, id, held), enqueue(tx, ack))
		case c.Epoch == a.Epoch && !held.EpochSecret.Equal(c.EpochSecret):
			return 0, fmt.Errorf("another grant of epoch %d: %w", c.Epoch, home.ErrForged)
		case c.Epoch == a.Epoch && queuedAt(tx, ack.Kind, "") == c.Epoch:
			return 0, nil
		case c.Epoch == a.Epoch:
			return 0, enqueue(tx, ack)
		}
		if !c.Password.IsZero() {
			held.Password = home.Secret{} // the owner may have typed it at another moment: the grant counts
		}
		if held, err = merge(held, c); err != nil {
			return 0, err
		}
		a.Epoch = c.Epoch
		if c.Epoch >= a.NoticeEpoch {
			a.NoticeEpoch, a.Notice, a.NoticeJSON = c.Epoch, hash, raw
		}
		if err := errors.Join(s.putCredential(tx, id, held), putAccount(tx, a)); err != nil {
			return 0, err
		}
		stale, err := advance(tx, a)
		if err != nil {
			return 0, err
		}
		return stale, errors.Join(given(tx), enqueue(tx, ack), recordBegun(tx, a.Epoch, stale))
	})
}

func recordBegun(tx *bbolt.Tx, e home.Epoch, stale int) error {
	return record(
		tx, home.Event{At: now(), What: "epoch begun", Epoch: e, Detail: fmt.Sprintf("%d devices to rekey", stale)},
	)
}

// advance brings every binding in line with an epoch that has just begun, and returns the number of stale ones.
func advance(tx *bbolt.Tx, a home.Account) (stale int, err error) {
	all, err := bindings.all(tx)
	if err != nil {
		return 0, err
	}
	for _, b := range all {
		v := b.Verdict.Against(a.Epoch)
		if !v.Same(b.Verdict) {
			b.Verdict, b.Since = v, now()
		}
		b.Tries, b.Moved, b.Reverts = 0, time.Time{}, 0
		if !v.State.Waits() { // an epoch does not end a lock-out
			b.Next = time.Time{}
		}
		if v.State == home.Stale {
			stale++
		}
		if err := errors.Join(bindings.put(tx, string(b.Device), b), dequeue(tx, home.ErrandSignIn, b.Device)); err != nil {
			return stale, err
		}
		if v.State == home.Current { // a probe saw it hold the epoch before the grant came
			if err := finish(tx, a, b, now()); err != nil {
				return stale, err
			}
		}
	}
	return stale, nil
}

// SetBrokers records the MQTT brokers of the account, in the order in which they are tried.
func (s *Store) SetBrokers(id home.AccountID, brokers []string) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		a, err := accountOf(tx, id)
		if err != nil {
			return err
		}
		a.Brokers = brokers
		return putAccount(tx, a)
	})
}

// Leave ends the hub's membership, and with it every binding, intent and errand. The hub gets new keys: the account
// service does not know it any more. The credentials stay in the vault, sealed: at the next account, too, of the same
// e-mail address, the newest of them are tried, since devices may still hold them. The history stays.
func (s *Store) Leave(id home.AccountID) error {
	return s.file.Update(func(tx *bbolt.Tx) error {
		if _, err := accountOf(tx, id); err != nil {
			return err
		}
		bound, err := bindings.all(tx)
		if err != nil {
			return err
		}
		for _, b := range bound {
			if err := forget(tx, b.Device); err != nil {
				return err
			}
		}
		return errors.Join(
			clearOutbox(tx),
			s.renewKeys(tx),
			boltfile.DeletePrefix(tx.Bucket(bLeftOut), nil),
			boltfile.DeletePrefix(tx.Bucket(bAside), nil),
			accounts.delete(tx, string(id)),
			tx.Bucket(bVault).Delete(sessionKey(id)),
			record(tx, home.Event{At: now(), What: "account left"}),
		)
	})
}
