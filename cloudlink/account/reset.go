package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// forgotten is somebody's request for a reset mail.
type forgotten struct{ email, door, from, lang string }

// Forgot takes a request for a reset mail through the website, in a language of package language; ok is false for what is no address.
func (s *Service) Forgot(ctx context.Context, email, from, lang string) (ok bool) {
	if !validEmail(email) {
		return false
	}
	s.forgot(ctx, forgotten{email, DoorWeb, network(from), lang})
	return true
}

// forgot takes a request for a reset mail. What becomes of it shows in the mail box only: the answer is the same for everybody, and
// comes at the same instant after the request. A request that finds no room is dropped like one that is throttled.
func (s *Service) forgot(ctx context.Context, f forgotten) {
	answer := time.NewTimer(s.o.Policy.ForgotAnswer)
	defer answer.Stop()
	select {
	case s.asked <- f:
	default:
		s.counts.throttled.Add(1)
	}
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
}

func (s *Service) forgottenLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-s.asked:
			if err := s.sendReset(f); err != nil {
				s.o.Log.Error("reset mail not queued", "err", err)
			}
		}
	}
}

// sendReset queues a reset mail to the registered address, within the limits. A new link replaces the one before.
func (s *Service) sendReset(f forgotten) error {
	now := s.now()
	if !s.askers.take(f.from, now) || !s.forgots.take(normal(f.email), now) {
		s.counts.throttled.Add(1)
		return nil
	}
	s.change.Lock()
	defer s.change.Unlock()
	a, ok := s.dir.byEmail(f.email)
	if !ok {
		return nil
	}
	token := rand.Text()
	next := *a
	next.Reset = hashed(token)
	to := next
	if to.Lang == "" {
		to.Lang = f.lang
	}
	life := s.o.Policy.ResetLife
	err := s.st.Update(func(tx *bbolt.Tx) error {
		if err := dropLink(tx, a); err != nil {
			return err
		}
		l := link{Purpose: "reset", Account: a.ID, Epoch: a.Epoch, Door: f.door, Expires: now.Add(life).UnixMilli()}
		if err := put(tx, bktLinks, next.Reset, l); err != nil {
			return err
		}
		if err := put(tx, bktAccounts, []byte(a.ID), &next); err != nil {
			return err
		}
		if err := s.queue(tx, mailReset(&to, s.base, token, f.door, now, life)); err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: now.UnixMilli(), What: "reset requested", Door: f.door, Epoch: a.Epoch})
	})
	if err != nil {
		return err
	}
	s.dir.setAccount(&next, home.Secret{})
	poke(s.mails)
	return nil
}

// canonical is a token as it was mailed, from what a person typed.
func canonical(token string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r <= ' ' {
			return -1
		}
		return r
	}, token))
}

// linkOf returns the live link of a token. It uses nothing up.
func (s *Service) linkOf(token, purpose string) (l link, a *account, err error) {
	var ok bool
	err = s.st.View(func(tx *bbolt.Tx) error {
		l, ok, err = get[link](tx, bktLinks, hashed(canonical(token)))
		return err
	})
	if err != nil {
		return l, nil, err
	}
	if !ok || l.Purpose != purpose || s.now().UnixMilli() > l.Expires {
		return l, nil, errLinkExpired
	}
	a, ok = s.dir.account(l.Account)
	if !ok || a.Epoch != l.Epoch && purpose != "notme" {
		return l, nil, refused(v1.CannotReset, "The password was changed since this mail")
	}
	return l, a, nil
}

// useLink uses a token up: of many at once, one finds it.
func (s *Service) useLink(tx *bbolt.Tx, token string) error {
	key := hashed(canonical(token))
	if tx.Bucket(bktLinks).Get(key) == nil {
		return errLinkExpired
	}
	return tx.Bucket(bktLinks).Delete(key)
}

// dropLink ends the account's live link, where it has one.
func dropLink(tx *bbolt.Tx, a *account) error {
	if len(a.Reset) == 0 {
		return nil
	}
	return tx.Bucket(bktLinks).Delete(a.Reset)
}

// dropLinks ends the account's live link at a change of its password; at a reset, which proves who reads the mail, also those that
// disown earlier changes.
func dropLinks(tx *bbolt.Tx, a *account, all bool) error {
	if !all {
		return dropLink(tx, a)
	}
	var keys [][]byte
	err := tx.Bucket(bktLinks).ForEach(func(k, _ []byte) error {
		l, _, err := get[link](tx, bktLinks, k)
		if l.Account == a.ID {
			keys = append(keys, bytes.Clone(k))
		}
		return err
	})
	for _, k := range keys {
		err = errors.Join(err, tx.Bucket(bktLinks).Delete(k))
	}
	return err
}

// Reset sets a new password with the token of a reset mail, and begins an epoch. leaveOut are hubs that shall not hear of it. Nobody is
// signed in by it: the owner signs in with the new password. The ticket is for Watch. The errors are *v1.Error, of v1.LinkExpired,
// v1.CannotReset and v1.BadNewPassword (then Weakness tells which).
func (s *Service) Reset(ctx context.Context, token, password string, leaveOut []string) (ticket string, err error) {
	a, err := s.reset(ctx, token, password, leaveOut)
	if err != nil {
		return "", err
	}
	return s.tickets.issue(a.ID, a.Epoch, s.now()), nil
}

func (s *Service) reset(ctx context.Context, token, password string, leaveOut []string) (*account, error) {
	l, a, err := s.linkOf(token, "reset")
	if err != nil {
		return nil, err
	}
	if why := s.o.Policy.checkPassword(password, a.Email); why != "" {
		return nil, s.weak(why)
	}
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	return s.begin(turn{
		account: a.ID, cause: "reset", door: l.Door, phc: phc, password: home.NewSecret(password), leaveOut: leaveOut,
		consume: func(tx *bbolt.Tx, now *account) error {
			if now.Epoch != l.Epoch {
				return errLinkExpired
			}
			return s.useLink(tx, token)
		},
	})
}

// changePassword sets a new password with the old one, and begins an epoch. The ticket is for Watch.
func (s *Service) changePassword(ctx context.Context, email, old, password, door, from string) (ticket string, err error) {
	a, err := s.authenticate(ctx, email, old, visitor{from: from})
	if err != nil {
		return "", err
	}
	if why := s.o.Policy.checkPassword(password, a.Email); why != "" {
		return "", s.weak(why)
	}
	if password == old {
		return "", s.weak(WeakSame)
	}
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return "", err
	}
	epoch := a.Epoch
	a, err = s.begin(turn{
		account: a.ID, cause: "changed", door: door, phc: phc, password: home.NewSecret(password),
		consume: func(_ *bbolt.Tx, now *account) error {
			if now.Epoch != epoch {
				return errPassword
			}
			return nil
		},
	})
	if err != nil {
		return "", err
	}
	return s.tickets.issue(a.ID, a.Epoch, s.now()), nil
}
