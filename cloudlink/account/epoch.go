package account

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// change is a new password for an account.
type change struct {
	account  Account // as it was when the change was allowed
	cause    string  // of wire.Notice: "reset" or "changed"
	door     string
	phc      string
	password home.Secret // for the grants to hubs
	use      string      // key of the link that entitles to it; empty for a change with the old password
	leaveOut []string    // hubs that get no grant, and are removed with what they hold
	exposed  bool        // of wire.Notice: somebody else may know the old password
	silent   bool        // the password stays: no mail reports a change
}

// Begun is the answer to a change of the password.
type Begun struct {
	Account string
	Epoch   uint64
	Ticket  string // for Watch
}

// begin begins an epoch, in one transaction of the store. A crash after that loses nothing: notices are published again
// at every connect, and members ask for missed grants. Errors: ErrEpoch, ErrUsed.
func (s *Service) begin(c change) (Begun, error) {
	before := c.account.Newest()
	next, err := home.Epoch(before.Epoch).Next()
	if err != nil {
		return Begun{}, err
	}
	now := s.Now()
	a := c.account
	a.Epoch, a.Closed, a.Ahead = uint64(next), false, wire.Notice{}
	a.Hash, a.Secret = home.NewSecret(c.phc), home.SecretBytes(wire.NewNonce())
	a.Notice = s.id.SignNotice(wire.Notice{
		Account: a.ID, Epoch: a.Epoch, At: now.UnixMilli(), Cause: c.cause, Via: c.door, Prev: before.Hash(),
		Exposed: c.exposed || c.account.Closed, // "this was not me": the intruder knows the old password
	})
	if a.Notice.Exposed {
		a.TerminalsSince = a.Epoch
	}
	token := rand.Text()
	t := EpochChange{
		Account: a, Use: c.use, LeaveOut: c.leaveOut, AllLinks: c.cause == "reset",
		Disown: MailLink{
			Key: hashed(token), Purpose: PurposeDisown, Account: a.ID, Epoch: a.Epoch, Door: c.door, At: now,
			Expires: now.Add(disownLife),
		},
		Mail:  s.room(s.letters.Changed(a.recipient(), c.door, token, c.cause == "reset", now)),
		Event: Event{At: now, What: "password changed", Door: c.door, Epoch: a.Epoch, Detail: c.cause},
	}
	if c.silent {
		t.Mail, t.Disown, t.Event.What = mail.Mail{}, MailLink{}, "epoch begun behind a hub's"
	}
	for err = ErrMembers; errors.Is(err, ErrMembers); { // a member that enrols meanwhile gets its grant in the next round
		if t.Grants, err = s.grants(a, c.password); err == nil {
			err = s.st.BeginEpoch(t)
		}
	}
	if err != nil {
		return Begun{}, err
	}
	s.logins.open(Normal(a.Email))
	s.o.Log.Info(
		"epoch begun", "account", a.ID, "epoch", a.Epoch, "cause", c.cause, "door", c.door, "members", len(t.Grants),
		"left_out", len(c.leaveOut),
	)
	poke(s.mails)
	s.Epochs.Add(a.ID)
	s.Changes.Add(a.ID)
	return Begun{a.ID, a.Epoch, ticket{a.ID, a.Epoch, now.Add(ticketLife).Unix()}.word(s.id)}, nil
}

// grants seals the account's newest epoch to each of its members.
func (s *Service) grants(a Account, password home.Secret) ([]Grant, error) {
	ms, err := s.st.Members(a.ID)
	if err != nil {
		return nil, err
	}
	gs := make([]Grant, len(ms))
	for i, m := range ms {
		if gs[i], err = SealGrant(a, m, password); err != nil {
			return nil, err
		}
	}
	return gs, nil
}

// SealGrant seals the newest epoch of an account to a member. A hub gets the password, where it is known; a native
// device never does.
func SealGrant(a Account, m Member, password home.Secret) (Grant, error) {
	in := wire.Granted{Secret: a.Secret}
	if m.IsHub() {
		in.Username, in.Password = a.Email, password
	}
	sealed, err := wire.Keys{Seal: m.SealKey()}.SealGrant(a.ID, m.Name, a.Epoch, in)
	if err != nil {
		return Grant{}, fmt.Errorf("grant for %s: %w", m.Name, err)
	}
	return Grant{m.Name, a.Notice, m.SealKey(), sealed}, nil
}
