package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// The doors of an account.
const (
	DoorKasa     = "kasa"
	DoorTPCamera = "tpcamera"
	DoorWeb      = "web"
)

// doorOf returns the door that an app comes through, by the name that it gives itself.
func doorOf(appType string) string {
	app := strings.ToLower(appType)
	switch {
	case strings.Contains(app, "tpcamera"):
		return DoorTPCamera
	case strings.Contains(app, "kasa"), strings.Contains(app, "tapo"):
		return DoorKasa
	}
	return DoorWeb
}

func isDoor(s string) bool { return s == DoorKasa || s == DoorTPCamera || s == DoorWeb }

// refused is an answer with a code. Its text is for people, and says nothing that the code does not.
func refused(code v1.Code, text string) error { return &v1.Error{Code: code, Message: text} }

var errPassword = refused(v1.WrongPassword, "Incorrect email or password")

// normal is the form in which an e-mail address is looked up. Devices hash it as it was typed, so that is kept beside it.
func normal(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// validEmail takes what a mail can be sent to: one plain address of ASCII, so that none looks like another.
func validEmail(email string) bool {
	a, err := mail.ParseAddress(email)
	return err == nil && a.Address == email && a.Name == "" && len(email) <= 254 && strings.Count(email, "@") == 1 &&
		!strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>(),;:\[]`, r) })
}

// visitor is who says that an account is theirs: an owner, or one of their devices.
type visitor struct {
	from   string // network address
	device bool   // counts for itself: devices that still hold an old password must not lock their owner out
}

// authenticate returns the account that email and password open. A wrong password and an unknown address are the same answer, after the
// same time. Too many failures lock the address, whether or not it is anybody's.
func (s *Service) authenticate(ctx context.Context, email, password string, v visitor) (*account, error) {
	key := normal(email)
	if len(key) > 254 || len(password) > 256 {
		return nil, errPassword
	}
	lock := key
	if v.device {
		lock = "device " + key
	}
	now := s.now()
	if s.logins.locked(lock, now) {
		return nil, refused(v1.Locked, "Too many failed attempts: locked for "+people(s.o.Policy.LoginLock))
	}
	if s.sprays.full(v.from, now) {
		s.counts.throttled.Add(1)
		return nil, refused(v1.RateLimit, "Too many attempts from this address: try again later")
	}
	line := v.from
	if v.device {
		line += " devices" // an owner does not wait behind their own house
	}
	if err := s.waiting.enter(ctx, line); err != nil {
		return nil, err
	}
	defer s.waiting.leave(line)
	a, known := s.dir.byEmail(key)
	phc := ""
	if known {
		raw, err := s.st.key.Open(a.Hash, "hash/"+a.ID)
		if err != nil {
			return nil, err
		}
		phc = string(raw)
	}
	ok, outdated, err := s.hash.verify(ctx, phc, password)
	if err != nil {
		return nil, err
	}
	if !known || !ok || a.Closed {
		waits, err := s.registered(ctx, key, password)
		switch {
		case err != nil:
			return nil, err
		case waits:
			return nil, refused(NotActivated, "Activate the account with the link in the mail")
		}
		s.logins.failed(lock, s.now())
		s.sprays.take(v.from, s.now())
		return nil, errPassword
	}
	s.logins.open(lock)
	if outdated {
		return a, s.rehash(ctx, a, password)
	}
	return a, nil
}

// people says how long, in words.
func people(d time.Duration) string {
	n, unit := int(d/time.Minute), "minute"
	if d%time.Hour == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprint(max(n, 1), " ", unit)
}

// rehash keeps the hash of a password that was just verified with the parameters of today.
func (s *Service) rehash(ctx context.Context, a *account, password string) error {
	phc, err := s.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	s.change.Lock()
	defer s.change.Unlock()
	now, ok := s.dir.account(a.ID)
	if !ok || now.Epoch != a.Epoch {
		return nil // the password is another meanwhile
	}
	next := *now
	next.Hash = s.st.key.Seal([]byte(phc), "hash/"+a.ID)
	if err := s.st.Update(func(tx *bbolt.Tx) error { return put(tx, bktAccounts, []byte(a.ID), &next) }); err != nil {
		return err
	}
	s.dir.setAccount(&next, home.Secret{})
	return nil
}

// hashed is what is kept of a token.
func hashed(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return []byte(hex.EncodeToString(h[:]))
}

func sessionKey(account, token string) []byte {
	return append([]byte(account+"/"), hashed(token)...)
}

// newToken returns a token that names its account: 130 random bits behind it.
func newToken(account string) string { return account + "-" + rand.Text() }

// enter opens a session of an account that was just authenticated, and returns its token, with a refresh token where one is wanted.
func (s *Service) enter(a *account, door, terminal string, refresh bool) (token, refreshToken string, err error) {
	now := s.now()
	entry := wire.NewID()
	token = newToken(a.ID)
	if refresh {
		refreshToken = newToken(a.ID)
	}
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := sameEpoch(tx, a); err != nil {
			return err
		}
		err := put(tx, bktSessions, sessionKey(a.ID, token), session{
			Entry: entry, Door: door, Terminal: terminal, At: now.UnixMilli(), Expires: now.Add(s.o.Policy.SessionLife).UnixMilli(),
		})
		if err != nil || !refresh {
			return err
		}
		return put(tx, bktSessions, sessionKey(a.ID, refreshToken), session{
			Refresh: true, Entry: entry, Door: door, Terminal: terminal, At: now.UnixMilli(), Expires: now.Add(s.o.Policy.RefreshLife).UnixMilli(),
		})
	})
	return token, refreshToken, err
}

// sameEpoch refuses what was checked against a password that was changed since: a session must not slip past a reset.
func sameEpoch(tx *bbolt.Tx, a *account) error {
	now, ok, err := get[account](tx, bktAccounts, []byte(a.ID))
	if err == nil && (!ok || now.Epoch != a.Epoch) {
		err = errPassword
	}
	return err
}

var errSession = errors.New("no session")

// session returns the live session of a token; errSession when there is none.
func (s *Service) session(token string, refresh bool) (*account, session, error) {
	id, _, ok := strings.Cut(token, "-")
	if !ok || len(token) > 128 {
		return nil, session{}, errSession
	}
	var found session
	var live bool
	err := s.st.View(func(tx *bbolt.Tx) error {
		var err error
		found, live, err = get[session](tx, bktSessions, sessionKey(id, token))
		return err
	})
	if err != nil {
		return nil, session{}, err
	}
	a, ok := s.dir.account(id)
	if !live || !ok || found.Refresh != refresh || s.now().UnixMilli() > found.Expires {
		return nil, session{}, errSession
	}
	return a, found, nil
}

// renew opens a session with a refresh token, in one transaction: after a reset there is none to renew.
func (s *Service) renew(refreshToken, terminal string) (string, error) {
	a, old, err := s.session(refreshToken, true)
	if err != nil {
		return "", err
	}
	if old.Terminal != terminal {
		return "", errSession
	}
	now := s.now()
	token := newToken(a.ID)
	return token, s.st.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(bktSessions).Get(sessionKey(a.ID, refreshToken)) == nil {
			return errSession
		}
		return put(tx, bktSessions, sessionKey(a.ID, token), session{
			Entry: old.Entry, Door: old.Door, Terminal: terminal, At: now.UnixMilli(), Expires: now.Add(s.o.Policy.SessionLife).UnixMilli(),
		})
	})
}

// eachSession calls do with each session of an account.
func eachSession(tx *bbolt.Tx, account string, do func(key []byte, v session)) error {
	prefix := []byte(account + "/")
	c := tx.Bucket(bktSessions).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		v, _, err := get[session](tx, bktSessions, k)
		if err != nil {
			return err
		}
		do(bytes.Clone(k), v)
	}
	return nil
}

// logoutAll ends every session of an account.
func (s *Service) logoutAll(account, door string) error {
	defer s.watch.tell(account)
	return s.st.Update(func(tx *bbolt.Tx) error {
		if err := drop(tx, bktSessions, account+"/"); err != nil {
			return err
		}
		return record(tx, account, Event{At: s.now().UnixMilli(), What: "all sessions ended", Door: door})
	})
}

// sweep throws expired tokens, links and pairings away.
func (s *Service) sweep() error {
	now := s.now()
	s.talks.open.sweep(now)
	return s.st.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range [][]byte{bktSessions, bktLinks, bktPending, bktPairings} {
			var old [][]byte
			err := tx.Bucket(bucket).ForEach(func(k, _ []byte) error {
				v, _, err := get[struct {
					Expires int64 `json:"expires"`
				}](tx, bucket, k)
				if now.Sub(time.UnixMilli(v.Expires)) > 0 {
					old = append(old, append([]byte(nil), k...))
				}
				return err
			})
			if err != nil {
				return err
			}
			for _, k := range old {
				if err := tx.Bucket(bucket).Delete(k); err != nil {
					return err
				}
			}
		}
		var gone [][]byte
		err := tx.Bucket(bktNewest).ForEach(func(email, key []byte) error {
			if tx.Bucket(bktPending).Get(key) == nil {
				gone = append(gone, bytes.Clone(email))
			}
			return nil
		})
		for _, email := range gone {
			err = errors.Join(err, tx.Bucket(bktNewest).Delete(email))
		}
		return err
	})
}
