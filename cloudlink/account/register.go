package account

import (
	"context"
	"crypto/rand"
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

// register makes an account, with its first epoch. Where accounts have to be activated, the answer for an address that has
// an account is the same; its owner gets a mail that says so.
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
	s.change.Lock()
	defer s.change.Unlock()
	now := s.now()
	old, known := s.dir.byEmail(email)
	if known && old.Active {
		if !s.o.Policy.Activation {
			return refused(EmailTaken, "This email has an account")
		}
		if !s.forgots.take("register "+normal(email), now) {
			s.counts.throttled.Add(1)
			return nil
		}
		defer poke(s.mails)
		return s.st.Update(func(tx *bbolt.Tx) error { return s.queue(tx, mailTaken(old, s.base, now)) })
	}
	a := &account{ID: strings.ToLower(rand.Text())[:16], Email: email, Epoch: 1, Active: !s.o.Policy.Activation, At: now.UnixMilli(), Lang: lang}
	if known { // never activated: whoever registers last, and reads the mail, has it
		a.ID, a.Reset = old.ID, old.Reset
	}
	secret := home.SecretBytes(wire.NewNonce())
	a.Hash = s.st.key.Seal([]byte(phc), "hash/"+a.ID)
	a.Secret = s.st.key.Seal([]byte(secret.Reveal()), "epoch/"+a.ID)
	a.Notice = s.id.SignNotice(wire.Notice{Account: a.ID, Epoch: 1, At: a.At, Issued: a.At, Cause: "registered", Via: door})
	token := rand.Text()
	mailed := s.o.Policy.Activation && s.forgots.take("register "+normal(email), now)
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := dropLink(tx, a); err != nil {
			return err
		}
		a.Reset = nil
		if mailed {
			a.Reset = hashed(token)
			l := link{Purpose: "activate", Account: a.ID, Epoch: 1, Door: door, Expires: now.Add(s.o.Policy.ActivateLife).UnixMilli()}
			if err := put(tx, bktLinks, a.Reset, l); err != nil {
				return err
			}
			if err := s.queue(tx, mailActivate(a, s.base, token, now, s.o.Policy.ActivateLife)); err != nil {
				return err
			}
		}
		if err := put(tx, bktAccounts, []byte(a.ID), a); err != nil {
			return err
		}
		if err := tx.Bucket(bktEmails).Put([]byte(normal(email)), []byte(a.ID)); err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: a.At, What: "account registered", Door: door, Epoch: 1})
	})
	if err != nil {
		return err
	}
	s.dir.setAccount(a, secret)
	poke(s.mails)
	s.o.Log.Info("account registered", "account", a.ID, "door", door)
	return nil
}

// activate ends a registration: whoever has the token reads the mail of the address.
func (s *Service) activate(token string) error {
	s.change.Lock()
	defer s.change.Unlock()
	l, a, err := s.linkOf(token, "activate")
	if err != nil {
		return err
	}
	next := *a
	next.Active, next.Reset = true, nil
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := s.useLink(tx, token); err != nil {
			return err
		}
		if err := put(tx, bktAccounts, []byte(a.ID), &next); err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: s.now().UnixMilli(), What: "account activated", Door: l.Door})
	})
	if err == nil {
		s.dir.setAccount(&next, home.Secret{})
	}
	return err
}
