package account

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Register makes an account through the website, whose mails are in a language of package language. active tells that it needs no
// activation. The errors are *v1.Error, of v1.InvalidEmail, v1.BadNewPassword (then Weakness tells which) and EmailTaken.
func (s *Service) Register(ctx context.Context, email, password, lang string) (active bool, err error) {
	return !s.o.Policy.Activation, s.register(ctx, email, password, DoorWeb, lang)
}

// Activate ends a registration; its errors are those of a link.
func (s *Service) Activate(token string) error { return s.activate(token) }

// register makes an account, with its first epoch. Where accounts have to be activated, it keeps the registration until the link in its
// mail is opened. The answer for an address that has an account is the same; its owner gets a mail that says so.
func (s *Service) register(ctx context.Context, email, password, door, lang string) error {
	if !validEmail(email) {
		return refused(v1.InvalidEmail, "Invalid email")
	}
	if why := s.o.Policy.checkPassword(password, email); why != "" {
		return s.weak(why)
	}
	if s.o.Policy.Activation {
		// What is done for an address that has an account is other than for one that has none: the answer comes when both are done.
		answer := time.Now().Add(s.o.Policy.ForgotAnswer)
		defer func() { wait(ctx, time.Until(answer)) }()
	}
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	now := s.now()
	id := strings.ToLower(rand.Text())[:16]
	r := registration{
		Account: id, Email: email, Hash: s.st.key.Seal([]byte(phc), "hash/"+id), Door: door, Lang: lang, At: now.UnixMilli(),
		Expires: now.Add(s.o.Policy.ActivateLife).UnixMilli(),
	}
	if !s.o.Policy.Activation {
		return s.found(r, now, nil)
	}
	if !s.forgots.take("register "+normal(email), now) {
		s.counts.throttled.Add(1)
		return nil
	}
	// A registration of an address that has an account is kept too, under a token that is never sent: a login with its password is
	// answered alike in both cases.
	token := rand.Text()
	m := mailActivate(&account{Email: email, Lang: lang}, s.base, token, now, s.o.Policy.ActivateLife)
	if old, known := s.dir.byEmail(email); known {
		m = mailTaken(old, s.base, now)
	}
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := r.store(tx, hashed(token)); err != nil {
			return err
		}
		return s.queue(tx, m)
	})
	if err == nil {
		poke(s.mails)
		s.o.Log.Info("registration mailed", "door", door)
	}
	return err
}

var errTaken = refused(EmailTaken, "This email has an account")

// found makes the account of a registration, in one transaction; consume uses up what entitles to it, nil for nothing.
func (s *Service) found(r registration, now time.Time, consume func(*bbolt.Tx) error) error {
	s.change.Lock()
	defer s.change.Unlock()
	secret := home.SecretBytes(wire.NewNonce())
	a := &account{ID: r.Account, Email: r.Email, Hash: r.Hash, Epoch: 1, At: now.UnixMilli(), Lang: r.Lang}
	a.Secret = s.st.key.Seal([]byte(secret.Reveal()), "epoch/"+a.ID)
	a.Notice.Notice = s.id.SignNotice(wire.Notice{Account: a.ID, Epoch: 1, At: a.At, Cause: "registered", Via: r.Door})
	err := s.st.Update(func(tx *bbolt.Tx) error {
		email := []byte(normal(a.Email))
		if tx.Bucket(bktEmails).Get(email) != nil {
			return errTaken
		}
		if consume != nil {
			if err := consume(tx); err != nil {
				return err
			}
		}
		if err := put(tx, bktAccounts, []byte(a.ID), a); err != nil {
			return err
		}
		if err := tx.Bucket(bktEmails).Put(email, []byte(a.ID)); err != nil {
			return err
		}
		err := record(tx, a.ID, Event{At: r.At, What: "account registered", Door: r.Door, Epoch: 1})
		if err == nil && consume != nil {
			err = record(tx, a.ID, Event{At: a.At, What: "account activated", Door: r.Door})
		}
		return err
	})
	if err != nil {
		return err
	}
	s.dir.setAccount(a, secret)
	s.o.Log.Info("account registered", "account", a.ID, "door", r.Door)
	return nil
}

var errLinkExpired = refused(v1.LinkExpired, "This link or code was used, replaced by a newer one, or is too old")

// registrationOf returns the live registration of a token.
func (s *Service) registrationOf(token string) (r registration, err error) {
	err = s.st.View(func(tx *bbolt.Tx) error {
		found, ok, err := get[registration](tx, bktPending, hashed(canonical(token)))
		if err == nil && (!ok || s.now().UnixMilli() > found.Expires) {
			err = errLinkExpired
		}
		r = found
		return err
	})
	return r, err
}

// activate ends a registration: whoever has the token reads the mail of the address. It makes the account with the password of this
// registration; others of the address are worth nothing from then on.
func (s *Service) activate(token string) error {
	r, err := s.registrationOf(token)
	if err != nil {
		return err
	}
	err = s.found(r, s.now(), func(tx *bbolt.Tx) error {
		key := hashed(canonical(token))
		if tx.Bucket(bktPending).Get(key) == nil {
			return errLinkExpired
		}
		return errors.Join(tx.Bucket(bktPending).Delete(key), tx.Bucket(bktNewest).Delete([]byte(normal(r.Email))))
	})
	if errors.Is(err, errTaken) {
		err = errLinkExpired
	}
	return err
}

// registered tells whether the password is that of the newest registration of an address.
func (s *Service) registered(ctx context.Context, email, password string) (bool, error) {
	var r registration
	err := s.st.View(func(tx *bbolt.Tx) error {
		var err error
		r, _, err = get[registration](tx, bktPending, tx.Bucket(bktNewest).Get([]byte(email)))
		return err
	})
	if err != nil || r.Account == "" || s.now().UnixMilli() > r.Expires {
		return false, err
	}
	phc, err := s.st.key.Open(r.Hash, "hash/"+r.Account)
	if err != nil {
		return false, err
	}
	ok, _, err := s.hash.verify(ctx, string(phc), password)
	return ok, err
}
