package account

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Owner is the owner of an account, signed in. It is good for one request: a session can end at any time.
type Owner struct {
	s     *Service
	a     *account
	sess  session
	token string
}

// SignIn opens a session through the website. Its errors are those of the API's login, with a *v1.Error inside.
func (s *Service) SignIn(ctx context.Context, email, password, from string) (token string, err error) {
	a, err := s.authenticate(ctx, email, password, visitor{from: network(from)})
	if err != nil {
		return "", err
	}
	token, _, err = s.enter(a, DoorWeb, "", false)
	return token, err
}

// Owner returns the owner whose session's token this is; a *v1.Error with v1.TokenExpired where there is none.
func (s *Service) Owner(token string) (*Owner, error) {
	a, sess, err := s.session(token, false)
	if errors.Is(err, errSession) {
		return nil, refused(v1.TokenExpired, "Token expired")
	}
	if err != nil {
		return nil, err
	}
	return &Owner{s, a, sess, token}, nil
}

// Email returns the address, as it was registered.
func (o *Owner) Email() string { return o.a.Email }

// Lang returns the language of the account's mails, a tag of package language; empty for the default.
func (o *Owner) Lang() string { return o.a.Lang }

// Devices returns the account's devices, each with what its hub says of it.
func (o *Owner) Devices() []Device { return o.s.dir.devicesOf(o.a.ID) }

// Hubs returns the account's hubs.
func (o *Owner) Hubs() []Hub { return o.s.hubs(o.a.ID) }

// History returns what has happened to the account, newest first.
func (o *Owner) History() ([]Event, error) { return o.s.history(o.a.ID) }

// Pair makes a word that lets one hub into the account, once, for Policy.PairingLife. The password is asked for again: whoever finds a
// browser signed in shall not add a hub of their own, and the hub needs it for devices that are new.
func (o *Owner) Pair(ctx context.Context, password, from string) (pairing.Pairing, error) {
	a, err := o.s.authenticate(ctx, o.a.Email, password, visitor{from: network(from)})
	if err != nil {
		return pairing.Pairing{}, err
	}
	return o.s.pair(a, home.NewSecret(password))
}

// RemoveHub removes a hub with the devices that it holds; home.ErrNotFound when it is not in the account.
func (o *Owner) RemoveHub(name string) error { return o.s.removeHub(o.a.ID, name) }

// ChangePassword sets a new password, and begins an epoch: every session ends, this one too.
func (o *Owner) ChangePassword(ctx context.Context, old, password, from string) (ticket string, err error) {
	return o.s.changePassword(ctx, o.a.Email, old, password, DoorWeb, network(from))
}

// Watch returns the account's devices, and a channel on which changes are told until stop is called.
func (o *Owner) Watch() (look func() (Progress, bool), changed <-chan struct{}, stop func()) {
	changed, stop = o.s.watch.add(o.a.ID)
	return func() (Progress, bool) {
		if _, _, err := o.s.session(o.token, false); err != nil {
			return Progress{}, false
		}
		return o.s.progress(o.a.ID)
	}, changed, stop
}

// Speak sets the language of the account's mails.
func (o *Owner) Speak(lang string) error {
	if o.a.Lang == lang {
		return nil
	}
	o.s.change.Lock()
	defer o.s.change.Unlock()
	now, ok := o.s.dir.account(o.a.ID)
	if !ok {
		return errNotHere
	}
	next := *now
	next.Lang = lang
	if err := o.s.st.Update(func(tx *bbolt.Tx) error { return put(tx, bktAccounts, []byte(next.ID), &next) }); err != nil {
		return err
	}
	o.s.dir.setAccount(&next, home.Secret{})
	return nil
}

// Session is a sign-in: a token of one door, with its refresh token where it has one.
type Session struct {
	ID    string
	Door  string
	Since time.Time
	This  bool // the one that asks
}

// Sessions returns the account's sessions, newest first.
func (o *Owner) Sessions() ([]Session, error) {
	by := map[string]Session{}
	now := o.s.now().UnixMilli()
	err := o.s.st.View(func(tx *bbolt.Tx) error {
		return eachSession(tx, o.a.ID, func(_ []byte, v session) {
			at := time.UnixMilli(v.At).UTC()
			if old, ok := by[v.Entry]; now <= v.Expires && (!ok || at.Before(old.Since)) {
				by[v.Entry] = Session{v.Entry, v.Door, at, v.Entry == o.sess.Entry}
			}
		})
	})
	return slices.SortedFunc(maps.Values(by), func(a, b Session) int { return b.Since.Compare(a.Since) }), err
}

// End ends one session, by its ID; home.ErrNotFound when there is none.
func (o *Owner) End(id string) error {
	defer o.s.watch.tell(o.a.ID)
	return o.s.st.Update(func(tx *bbolt.Tx) error {
		var keys [][]byte
		door := ""
		err := eachSession(tx, o.a.ID, func(k []byte, v session) {
			if v.Entry == id {
				keys, door = append(keys, k), v.Door
			}
		})
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return errNotHere
		}
		for _, k := range keys {
			if err := tx.Bucket(bktSessions).Delete(k); err != nil {
				return err
			}
		}
		return record(tx, o.a.ID, Event{At: o.s.now().UnixMilli(), What: "session ended", Door: door})
	})
}

// EndAll ends every session, this one too.
func (o *Owner) EndAll() error { return o.s.logoutAll(o.a.ID, DoorWeb) }

// SignOut ends this session.
func (o *Owner) SignOut() error {
	defer o.s.watch.tell(o.a.ID)
	return o.s.st.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bktSessions).Delete(sessionKey(o.a.ID, o.token)) })
}
