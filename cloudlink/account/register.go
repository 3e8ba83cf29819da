package account

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// NeedsActivation returns whether a new account is opened by the link in a mail only.
func (s *Service) NeedsActivation() bool { return s.o.Policy.Activation }

// Register makes an account, with its first epoch. Where accounts have to be activated, it stores the registration
// until the link in its mail is opened. The answer for an address that has an account is the same; its owner gets a
// mail that reports the attempt. lang is a tag of package language, from a network address as Network returns it. The
// errors are
// *v1.Error, of v1.InvalidEmail, v1.BadNewPassword (then Weakness has the reason), EmailTaken, and v1.RateLimit for
// an address that registers too often.
func (s *Service) Register(ctx context.Context, email, password, door, lang, from string) error {
	if err := s.checkRegistration(email, password); err != nil {
		return err
	}
	if !s.askers.Take("register "+from, s.Now()) {
		s.throttled("register", from)
		return Refused(v1.RateLimit, "Too many registrations from this address: try again later")
	}
	r, token, err := s.newRegistration(ctx, email, password, door, lang)
	if err != nil {
		return err
	}
	if s.o.Policy.Activation {
		// From here on the work differs between an address with an account and one without, and the answer hides which:
		// it comes a fixed time later. The hash, for which requests queue, does not count.
		answer := time.Now().Add(s.o.Policy.ForgotAnswer)
		defer func() { wait(ctx, time.Until(answer)) }()
	}
	now := r.At
	if !s.o.Policy.Activation {
		err := s.create(r, "")
		if errors.Is(err, ErrTaken) {
			err = errTaken
		}
		return err
	}
	if !s.mayMail("register "+Normal(email), now) {
		s.throttled("register", from)
		return nil
	}
	// A registration of an address that has an account is stored too, under a token that is never sent: a login with its
	// password is answered alike in both cases.
	m := s.letters.Activate(mail.Recipient{Email: email, Lang: lang}, token, now, activateLife)
	old, err := s.st.AccountByEmail(email)
	if err == nil {
		m = s.letters.Taken(old.recipient(), now)
	} else if !errors.Is(err, home.ErrNotFound) {
		return err
	}
	if err := s.st.Register(r, s.room(m)); err != nil {
		return err
	}
	poke(s.mails)
	s.o.Log.Info("registration mailed", "door", door)
	return nil
}

// checkRegistration returns the first rule that address or password breaks.
func (s *Service) checkRegistration(email, password string) error {
	if !mail.ValidAddress(email) {
		return Refused(v1.InvalidEmail, "Invalid email")
	}
	if why := s.o.Policy.checkPassword(password, email); why != "" {
		return s.weak(why)
	}
	return nil
}

// newRegistration makes a pending registration with a hash and a token of its own: a link activates the registration
// for which it was mailed.
func (s *Service) newRegistration(
	ctx context.Context, email, password, door, lang string,
) (r Registration, token string, err error) {
	phc, err := s.hash.Hash(ctx, password)
	if err != nil {
		return Registration{}, "", err
	}
	now := s.Now()
	token = rand.Text()
	return Registration{
		Key: hashed(token), Account: strings.ToLower(rand.Text())[:16], Email: email, Hash: home.NewSecret(phc), Door: door,
		Lang: lang, At: now, Expires: now.Add(activateLife),
	}, token, nil
}

// create makes the account of a registration. use is the registration's key where the account was activated by mail.
func (s *Service) create(r Registration, use string) error {
	now := s.Now()
	a := Account{
		ID: r.Account, Email: r.Email, Hash: r.Hash, Epoch: 1, Secret: home.SecretBytes(wire.NewNonce()), Lang: r.Lang,
		At: now,
		Notice: s.id.SignNotice(wire.Notice{
			Account: r.Account, Epoch: 1, At: now.UnixMilli(), Cause: "registered", Via: r.Door,
		}),
	}
	history := []Event{{At: r.At, What: "account registered", Door: r.Door, Epoch: 1}}
	if use != "" {
		history = append(history, Event{At: now, What: "account activated", Door: r.Door})
	}
	if err := s.st.CreateAccount(a, use, history...); err != nil {
		return err
	}
	s.o.Log.Info("account registered", "account", a.ID, "door", r.Door)
	return nil
}

// offerActivation queues the mail of an address's newest registration again, with a new link beside the old one, and
// returns the code in it. The password stays the registered one. Error: home.ErrNotFound.
func (s *Service) offerActivation(email string, now time.Time) (code string, err error) {
	r, err := s.st.NewestRegistration(email)
	if err == nil && now.After(r.Expires) {
		err = home.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	token := rand.Text()
	r.Key, r.At, r.Expires = hashed(token), now, now.Add(activateLife)
	m := s.letters.Activate(mail.Recipient{Email: r.Email, Lang: r.Lang}, token, now, activateLife)
	err = s.st.Register(r, s.room(m))
	poke(s.mails)
	return token, err
}

// Activate makes the account of a registration, with the password of that registration: the token proves that its
// holder reads the address's mail. Other registrations of the address become void. The same token activates nothing
// again, and gets the first answer for some minutes. Errors: v1.LinkExpired and NotACode.
func (s *Service) Activate(ctx context.Context, token string) error {
	_, _, err := s.repeats.do(ctx, token, func() (Begun, error) { return Begun{}, s.activate(token) })
	return err
}

// activate creates the account of a registration. Its error is ErrUsed where the address has one by now.
func (s *Service) activate(token string) error {
	code, ok := FindCode(token)
	if !ok {
		return errNotACode
	}
	r, err := s.st.Registration(hashed(code))
	if err == nil && s.Now().After(r.Expires) {
		err = ErrUsed
	}
	if err == nil {
		err = s.create(r, r.Key)
	}
	if errors.Is(err, home.ErrNotFound) || errors.Is(err, ErrTaken) || errors.Is(err, ErrUsed) {
		err = errLinkExpired
	}
	return err
}

// registered returns whether the password is that of the newest registration of an address.
func (s *Service) registered(ctx context.Context, email, password string) (bool, error) {
	r, err := s.st.NewestRegistration(email)
	if errors.Is(err, home.ErrNotFound) || err == nil && s.Now().After(r.Expires) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok, _, err := s.hash.Verify(ctx, r.Hash.Reveal(), password)
	return ok, err
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
