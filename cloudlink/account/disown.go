package account

import (
	"context"
	"crypto/rand"
	"errors"
)

// Disown answers "this was not me" for a change of the password, with the link of the mail that reported it (Disowning
// states the effects). The same token gets the first answer again, for some minutes. The errors are those of a reset's
// link.
func (s *Service) Disown(ctx context.Context, token string) error {
	first, repeated, err := s.repeats.do(ctx, token, func() (Begun, error) { return s.disownNow(token) })
	if err != nil || !repeated {
		return err
	}
	a, err := s.st.Account(first.Account)
	if err == nil && (!a.Closed || a.Epoch != first.Epoch) {
		err = errLinkExpired // the account was opened since, or closed by another change
	}
	return err
}

func (s *Service) disownNow(token string) (closed Begun, err error) {
	err = ErrEpoch
	for errors.Is(err, ErrEpoch) { // an intruder changed the password again meanwhile
		closed, err = s.disown(token)
	}
	if errors.Is(err, ErrUsed) {
		err = errLinkExpired
	}
	return closed, err
}

// disown is Disown at the account's present epoch. Error: ErrEpoch when that has ended meanwhile.
func (s *Service) disown(token string) (Begun, error) {
	l, a, err := s.linkOf(token, PurposeDisown)
	if err != nil {
		return Begun{}, err
	}
	now := s.Now()
	reset := rand.Text()
	life := s.o.Policy.ResetLife
	removed, err := s.st.Disown(Disowning{
		Account: a.ID, Use: l.Key, Since: l.At,
		Reset: MailLink{
			Key: hashed(reset), Purpose: PurposeReset, Account: a.ID, Epoch: a.Epoch, Door: DoorWeb, At: now,
			Expires: now.Add(life),
		},
		Mail:  s.room(s.letters.Reset(a.recipient(), reset, DoorWeb, now, life)),
		Event: Event{At: now, What: "change disowned", Door: l.Door, Epoch: l.Epoch},
	})
	if err != nil {
		return Begun{}, err
	}
	s.o.Log.Warn("change disowned by the account's owner",
		"account", a.ID, "epoch", l.Epoch, "hubs_removed", removed)
	poke(s.mails)
	s.Changes.Add(a.ID)
	return Begun{Account: a.ID, Epoch: a.Epoch}, nil
}
