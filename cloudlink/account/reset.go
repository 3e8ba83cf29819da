package account

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// forgotten is a request for a reset mail.
type forgotten struct{ email, door, from, lang string }

// Forgot takes a request for a reset mail. Whether one is sent shows in the mail box only: the answer is the same for
// every address, and comes at the same instant after the request. A request that finds no room is dropped like one
// that is throttled. from is as Network returns it, lang a tag of package language. ok is false for an address that
// is malformed.
func (s *Service) Forgot(ctx context.Context, email, door, from, lang string) (ok bool) {
	if !mail.ValidAddress(email) {
		return false
	}
	answer := time.NewTimer(s.o.Policy.ForgotAnswer)
	defer answer.Stop()
	select {
	case s.asked <- forgotten{email, door, from, lang}:
	default:
		s.throttled("forgot", from)
	}
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
	return true
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

// sendReset queues a reset mail to the registered address, within the limits. An address that is registered and not
// activated gets its activation mail again: there is no password to reset yet.
func (s *Service) sendReset(f forgotten) error {
	now := s.Now()
	if !s.askers.Take(f.from, now) || !s.mayMail(Normal(f.email), now) {
		s.throttled("forgot", f.from)
		return nil
	}
	_, err := s.offerReset(f, now)
	if errors.Is(err, home.ErrNotFound) {
		_, err = s.offerActivation(f.email, now)
	}
	if errors.Is(err, home.ErrNotFound) {
		return nil
	}
	return err
}

// offerReset queues a reset mail, and returns the code in it. A new link replaces the one before. Error:
// home.ErrNotFound for an address without an account.
func (s *Service) offerReset(f forgotten, now time.Time) (code string, err error) {
	a, err := s.st.AccountByEmail(f.email)
	if err != nil {
		return "", err
	}
	token := rand.Text()
	to := a.recipient()
	if to.Lang == "" {
		to.Lang = f.lang
	}
	life := s.o.Policy.ResetLife
	l := MailLink{
		Key: hashed(token), Purpose: PurposeReset, Account: a.ID, Epoch: a.Epoch, Door: f.door, At: now,
		Expires: now.Add(life),
	}
	m := s.room(s.letters.Reset(to, token, f.door, now, life))
	err = s.st.OfferReset(l, m, Event{At: now, What: "reset requested", Door: f.door, Epoch: a.Epoch})
	poke(s.mails)
	return token, err
}

// mayMail returns whether the limits allow another mail, and counts it.
func (s *Service) mayMail(key string, now time.Time) bool {
	return s.pauses.Take(key, now) && s.forgots.Take(key, now)
}

// linkOf returns the live link of a token, and its account. It uses nothing up.
func (s *Service) linkOf(token, purpose string) (MailLink, Account, error) {
	code, ok := FindCode(token)
	if !ok {
		return MailLink{}, Account{}, errNotACode
	}
	l, err := s.st.MailLink(hashed(code))
	if errors.Is(err, home.ErrNotFound) || err == nil && (l.Purpose != purpose || s.Now().After(l.Expires)) {
		err = errLinkExpired
	}
	if err != nil {
		return l, Account{}, err
	}
	a, err := s.st.Account(l.Account)
	if errors.Is(err, home.ErrNotFound) || err == nil && a.Epoch != l.Epoch && purpose != PurposeDisown {
		err = Refused(v1.CannotReset, "The password was changed since this mail")
	}
	return l, a, err
}

// Link is the purpose of a mailed token.
type Link struct {
	Email string
	Door  string
	Lang  string
	Hubs  []Hub
}

// LinkOf returns the purpose of a mailed token, which it does not use up. The errors are *v1.Error, of v1.LinkExpired
// and v1.CannotReset.
func (s *Service) LinkOf(token, purpose string) (Link, error) {
	l, a, err := s.linkOf(token, purpose)
	if err != nil {
		return Link{}, err
	}
	hubs, err := s.Hubs(a.ID)
	return Link{Email: a.Email, Door: l.Door, Lang: a.Lang, Hubs: hubs}, err
}

// Choices are the owner's decisions beside a new password.
type Choices struct {
	LeaveOut []string // hubs that are removed
	// Exposed states that somebody else may know the old password: hubs ask before they move devices. It is always so
	// after "this was not me".
	Exposed bool
}

// Reset sets a new password with the token of a reset mail, and begins an epoch. It is no sign-in: the owner signs
// in with the new password. The same token with the same password returns the first result again, for some minutes.
// The errors are *v1.Error, of v1.LinkExpired, v1.CannotReset, NotACode and v1.BadNewPassword (then Weakness returns
// which).
func (s *Service) Reset(ctx context.Context, token, password string, with Choices) (Begun, error) {
	begun, repeated, err := s.repeats.do(ctx, token, func() (Begun, error) { return s.reset(ctx, token, password, with) })
	if err != nil || !repeated {
		return begun, err
	}
	a, err := s.st.Account(begun.Account)
	if err != nil {
		return Begun{}, err
	}
	same, _, err := s.hash.Verify(ctx, a.Hash.Reveal(), password)
	if err == nil && (!same || a.Epoch != begun.Epoch) {
		err = errLinkExpired
	}
	return begun, err
}

func (s *Service) reset(ctx context.Context, token, password string, with Choices) (Begun, error) {
	l, a, err := s.linkOf(token, PurposeReset)
	if err != nil {
		return Begun{}, err
	}
	if why := s.o.Policy.checkPassword(password, a.Email); why != "" {
		return Begun{}, s.weak(why)
	}
	present, _, err := s.hash.Verify(ctx, a.Hash.Reveal(), password)
	if err != nil {
		return Begun{}, err
	}
	if present {
		return Begun{}, s.weak(WeakSame)
	}
	phc, err := s.hash.Hash(ctx, password)
	if err != nil {
		return Begun{}, err
	}
	b, err := s.begin(change{
		account: a, cause: "reset", door: l.Door, phc: phc, password: home.NewSecret(password), use: l.Key,
		leaveOut: with.LeaveOut, exposed: with.Exposed,
	})
	if errors.Is(err, ErrEpoch) || errors.Is(err, ErrUsed) {
		err = errLinkExpired
	}
	return b, err
}

// PasswordChange is a new password, and the old one that entitles to it.
type PasswordChange struct {
	Email, Old, New string
	Door            string
	From            string // network address, as Network returns it
	Token           string // of a live session of the account, where the client has one
	Choices
	entry string // of the session
}

// ChangePassword sets a new password with the old one, and begins an epoch. The errors are those of Authenticate, and
// v1.BadNewPassword.
func (s *Service) ChangePassword(ctx context.Context, c PasswordChange) (Begun, error) {
	if o, err := s.Owner(c.Token); err == nil && Normal(o.Email()) == Normal(c.Email) {
		c.entry = o.sess.Entry
	}
	a, err := s.Authenticate(ctx, c.Email, c.Old, Visitor{From: c.From, entry: c.entry})
	if err != nil {
		return Begun{}, err
	}
	if why := s.o.Policy.checkPassword(c.New, a.Email); why != "" {
		return Begun{}, s.weak(why)
	}
	if c.New == c.Old {
		return Begun{}, s.weak(WeakSame)
	}
	phc, err := s.hash.Hash(ctx, c.New)
	if err != nil {
		return Begun{}, err
	}
	b, err := s.begin(change{
		account: a, cause: "changed", door: c.Door, phc: phc, password: home.NewSecret(c.New),
		leaveOut: c.LeaveOut, exposed: c.Exposed,
	})
	if errors.Is(err, ErrEpoch) {
		err = errPassword
	}
	return b, err
}
