package account

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// forgotten is somebody's request for a reset mail.
type forgotten struct{ email, door, from string }

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
	if !ok || !a.Active {
		return nil
	}
	token := rand.Text()
	next := *a
	next.Reset = hashed(token)
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
		if err := s.queue(tx, mailReset(a, s.base, token, f.door, now, life)); err != nil {
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
		return l, nil, refused(v1.LinkExpired, "This link or code was used, replaced by a newer one, or is too old")
	}
	a, ok = s.dir.account(l.Account)
	if !ok || a.Epoch != l.Epoch {
		return l, nil, refused(v1.CannotReset, "The password was changed since this mail")
	}
	return l, a, nil
}

// useLink uses a token up: of many at once, one finds it.
func (s *Service) useLink(tx *bbolt.Tx, token string) error {
	key := hashed(canonical(token))
	if tx.Bucket(bktLinks).Get(key) == nil {
		return refused(v1.LinkExpired, "This link or code was used, replaced by a newer one, or is too old")
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

// reset sets a new password with the token of a reset mail, and begins an epoch. leaveOut are hubs that shall not hear of it. Nobody is
// signed in by it: the owner signs in with the new password.
func (s *Service) reset(ctx context.Context, token, password string, leaveOut []string) (*account, error) {
	l, a, err := s.linkOf(token, "reset")
	if err != nil {
		return nil, err
	}
	if why := s.o.Policy.checkPassword(password, a.Email); why != "" {
		return nil, refused(v1.BadNewPassword, why)
	}
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	return s.begin(turn{
		account: a.ID, cause: "reset", door: l.Door, phc: phc, password: home.NewSecret(password), leaveOut: leaveOut,
		consume: func(tx *bbolt.Tx, now *account) error {
			if now.Epoch != l.Epoch {
				return refused(v1.LinkExpired, "This link or code was used, replaced by a newer one, or is too old")
			}
			return s.useLink(tx, token)
		},
	})
}

// changePassword sets a new password with the old one, and begins an epoch.
func (s *Service) changePassword(ctx context.Context, email, old, password, door string) error {
	a, err := s.authenticate(ctx, email, old)
	if err != nil {
		return err
	}
	if why := s.o.Policy.checkPassword(password, a.Email); why != "" {
		return refused(v1.BadNewPassword, why)
	}
	if password == old {
		return refused(v1.BadNewPassword, "the new password is the old one")
	}
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = s.begin(turn{
		account: a.ID, cause: "changed", door: door, phc: phc, password: home.NewSecret(password),
		consume: func(_ *bbolt.Tx, now *account) error {
			if now.Epoch != a.Epoch {
				return errPassword
			}
			return nil
		},
	})
	return err
}
