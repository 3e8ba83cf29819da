package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Owner is the owner of an account, signed in. It is good for one request: a session can end at any time.
type Owner struct {
	s     *Service
	a     Account
	sess  Session
	token string
}

// Owner returns the owner whose session's token this is. Error: v1.TokenExpired.
func (s *Service) Owner(token string) (*Owner, error) { return s.owner(token, hashed(token)) }

// OwnerOfCookie returns the owner whose session's cookie this is. Error: v1.TokenExpired. A browser sends a cookie of
// 127.0.0.1 to every port there, so any program that listens there can read it: it is no token of the API.
func (s *Service) OwnerOfCookie(cookie string) (*Owner, error) {
	return s.owner(cookie, cookieKey(cookie))
}

func (s *Service) owner(token, key string) (*Owner, error) {
	a, sess, err := s.session(token, key, false)
	if errors.Is(err, errSession) {
		return nil, errSignedOut
	}
	if err != nil {
		return nil, err
	}
	return &Owner{s, a, sess, token}, nil
}

// ErrNotFresh is the refusal of a token whose login is too old. Its code has a client sign in again.
var ErrNotFresh = Refused(v1.TokenExpired,

	"The session is older than five minutes: sign in with the password again")

// freshLife is how long after its login a session may do what else needs the password again.
const freshLife = 5 * time.Minute

// Fresh returns whether the owner gave the password for this session less than five minutes ago.
func (o *Owner) Fresh() bool {
	age := o.s.Now().Sub(o.sess.At)
	return age >= 0 && age < freshLife
}

// Account returns the account's ID.
func (o *Owner) Account() string { return o.a.ID }

// Door returns the door of the session.
func (o *Owner) Door() string { return o.sess.Door }

// Email returns the address, as it was registered.
func (o *Owner) Email() string { return o.a.Email }

// Lang returns the language of the account's mails, a tag of package language; empty for the default.
func (o *Owner) Lang() string { return o.a.Lang }

// Devices returns the account's devices, each with its hub's report.
func (o *Owner) Devices() ([]DeviceInfo, error) { return o.s.devices(o.a) }

// Sees returns whether the account has a device and the session's door shows it, and the ID in its exact letter case.
func (o *Owner) Sees(device string) (id string, ok bool, err error) {
	d, err := o.s.st.Device(o.a.ID, strings.ToLower(device))
	if errors.Is(err, home.ErrNotFound) {
		return "", false, nil
	}
	return d.ID, err == nil && Shown(d.Model, o.sess.Door), err
}

// Unbind takes a device that the owner sees out of the account; home.ErrNotFound when there is none.
func (o *Owner) Unbind(device string) error {
	id, ok, err := o.Sees(device)
	if err != nil {
		return err
	}
	if !ok {
		return errNotHere
	}
	refused, err := o.s.st.Unbind(Position{}, o.a.ID, []string{id})
	if err == nil && len(refused) > 0 {
		err = errNotHere
	}
	o.s.Changes.Add(o.a.ID)
	return err
}

// Hubs returns the account's hubs.
func (o *Owner) Hubs() ([]Hub, error) { return o.s.Hubs(o.a.ID) }

// History returns the history of the account, the newest first.
func (o *Owner) History() ([]Event, error) { return o.s.st.History(o.a.ID) }

// Pair makes a word that lets one hub into the account, once, for Policy.PairingLife. It needs the password again: a
// browser left signed in must not be enough to add a hub, and the hub needs the password for new devices.
func (o *Owner) Pair(ctx context.Context, password, from string) (pairing.Pairing, error) {
	a, err := o.s.Authenticate(ctx, o.a.Email, password, Visitor{From: from, entry: o.sess.Entry})
	if err != nil {
		return pairing.Pairing{}, err
	}
	return o.s.pair(a, home.NewSecret(password), o.sess.Door)
}

// PairFresh is Pair for an API client that gave the password at its login, less than five minutes ago. The hub gets
// every later password by it, but not today's: that is not kept. Error: ErrNotFresh.
func (o *Owner) PairFresh() (pairing.Pairing, error) {
	if !o.Fresh() {
		return pairing.Pairing{}, ErrNotFresh
	}
	return o.s.pair(o.a, home.Secret{}, o.sess.Door)
}

// RemoveHub removes a hub with the devices that it holds; home.ErrNotFound when it is not in the account.
func (o *Owner) RemoveHub(name string) error {
	m, err := o.s.st.Member(name)
	if err == nil {
		err = o.s.st.RemoveHub(o.a.ID, name, Event{At: o.s.Now(), What: "hub removed", Detail: m.Label})
	}
	if err == nil {
		o.s.Changes.Add(o.a.ID)
	}
	return err
}

// ChangePassword sets a new password, and begins an epoch: every session ends, this one too.
func (o *Owner) ChangePassword(ctx context.Context, old, password, from string, with Choices) (Begun, error) {
	return o.s.ChangePassword(ctx, PasswordChange{
		Email: o.a.Email, Old: old, New: password, Door: DoorWeb, From: from, Choices: with, entry: o.sess.Entry,
	})
}

// Watch returns a function that reads the account's progress, and a channel that is readable after a change until
// stop is called.
func (o *Owner) Watch() (look func() (Progress, bool), changed <-chan struct{}, stop func()) {
	changed, stop = o.s.Changes.watch(o.a.ID)
	return func() (Progress, bool) {
		if _, _, err := o.s.session(o.token, o.sess.Key, false); err != nil {
			return Progress{}, false
		}
		return o.s.progress(o.a.ID)
	}, changed, stop
}

// SetLanguage sets the language of the account's mails.
func (o *Owner) SetLanguage(lang string) error {
	if o.a.Lang == lang {
		return nil
	}
	return o.s.st.SetLanguage(o.a.ID, lang)
}

// Watch returns a function that reads the progress behind the ticket of a Begun, and a channel that is readable after a
// change until stop is called. ok is false for a ticket that is forged, expired, or of an epoch that has ended.
func (s *Service) Watch(word string) (look func() (Progress, bool), changed <-chan struct{}, stop func(), ok bool) {
	t, ok := s.readTicket(word)
	if !ok {
		return nil, nil, nil, false
	}
	look = func() (Progress, bool) {
		p, ok := s.progress(t.account)
		return p, ok && p.Epoch == t.epoch && !s.ended(t)
	}
	if _, ok := look(); !ok {
		return nil, nil, nil, false
	}
	changed, stop = s.Changes.watch(t.account)
	return look, changed, stop, true
}
