package account

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// turn is the change of an account's password: how an epoch begins.
type turn struct {
	account  string
	cause    string // of wire.Notice
	door     string
	phc      string      // hash of the new password
	password home.Secret // the new password, for the grants
	leaveOut []string    // hubs that get no grant, and are removed with what they hold

	// consume uses up in the transaction what entitles to the turn. It is where exactly one of many wins.
	consume func(*bbolt.Tx, *account) error
}

// keepGrants is how many epochs a member can have missed and still be told each.
const keepGrants = 16

// begin begins an epoch, in one transaction: what entitles to it is used up, the hash set, the notice chained, sessions and links
// ended, a grant sealed for each member, the mail that tells of it queued, history written. What a crash after that loses is said
// again: notices at every connect, grants to whoever asks.
func (s *Service) begin(t turn) (*account, error) {
	s.change.Lock()
	defer s.change.Unlock()
	old, ok := s.dir.account(t.account)
	if !ok {
		return nil, errNotHere
	}
	next, err := home.Epoch(old.Epoch).Next()
	if err != nil {
		return nil, err
	}
	now := s.now()
	a := *old
	secret := home.SecretBytes(wire.NewNonce())
	a.Epoch, a.Reset, a.Closed = uint64(next), nil, false
	a.Hash = s.st.key.Seal([]byte(t.phc), "hash/"+a.ID)
	a.Secret = s.st.key.Seal([]byte(secret.Reveal()), "epoch/"+a.ID)
	a.Notice.Notice = s.id.SignNotice(wire.Notice{
		Account: a.ID, Epoch: a.Epoch, At: now.UnixMilli(), Cause: t.cause, Via: t.door, Prev: old.Notice.Hash(),
	})
	var grants []grantBox
	var out, gone []string
	for _, m := range s.dir.membersOf(a.ID) {
		if isHub(m.Name) && slices.Contains(t.leaveOut, m.Name) {
			ids := s.dir.heldBy(m.Name)
			out, gone = append(out, m.Name), append(gone, ids...)
			out = append(out, s.own(ids)...)
		}
	}
	for _, m := range s.dir.membersOf(a.ID) {
		if slices.Contains(out, m.Name) {
			continue
		}
		box, err := s.seal(&a, m, secret, t.password)
		if err != nil {
			return nil, err
		}
		grants = append(grants, box)
	}
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := t.consume(tx, old); err != nil {
			return err
		}
		if err := dropLinks(tx, old, t.cause == "reset"); err != nil {
			return err
		}
		if err := put(tx, bktAccounts, []byte(a.ID), &a); err != nil {
			return err
		}
		if err := drop(tx, bktSessions, a.ID+"/"); err != nil {
			return err
		}
		for _, g := range grants {
			if err := g.store(tx, a.Epoch); err != nil {
				return err
			}
		}
		if err := expel(tx, out, gone); err != nil {
			return err
		}
		token, err := s.disownable(tx, &a, t.door)
		if err != nil {
			return err
		}
		if err := s.queue(tx, mailChanged(&a, s.base, t.door, token, t.cause == "reset", now)); err != nil {
			return err
		}
		return record(tx, a.ID, Event{At: now.UnixMilli(), What: "password changed", Door: t.door, Epoch: a.Epoch, Detail: t.cause})
	})
	if err != nil {
		return nil, err
	}
	s.dir.setAccount(&a, secret)
	s.dir.forget(out, gone)
	s.logins.open(normal(a.Email))
	s.o.Log.Info("epoch begun", "account", a.ID, "epoch", a.Epoch, "cause", t.cause, "door", t.door, "members", len(grants), "removed", len(out))
	poke(s.mails)
	s.tell(a.ID)
	s.watch.tell(a.ID)
	return &a, nil
}

// grantBox is a grant, sealed and on its way to the disk.
type grantBox struct {
	member string
	raw    []byte
}

// seal seals the newest grant of a to a member: hubs are told the password, where it is known, and devices never.
func (s *Service) seal(a *account, m *member, secret, password home.Secret) (grantBox, error) {
	in := wire.Granted{Secret: secret}
	if isHub(m.Name) {
		in.Username, in.Password = a.Email, password
	}
	sealed, err := m.Keys.SealGrant(a.ID, m.Name, a.Epoch, in)
	if err != nil {
		return grantBox{}, fmt.Errorf("grant for %s: %w", m.Name, err)
	}
	raw, err := json.Marshal(wire.Grant{Notice: a.Notice.Notice, Sealed: sealed})
	return grantBox{m.Name, raw}, err
}

// store keeps the grant until the member has missed keepGrants others.
func (g grantBox) store(tx *bbolt.Tx, epoch uint64) error {
	if epoch > keepGrants {
		if err := tx.Bucket(bktGrants).Delete(numbered(g.member, epoch-keepGrants)); err != nil {
			return err
		}
	}
	return tx.Bucket(bktGrants).Put(numbered(g.member, epoch), g.raw)
}

// grantsAfter returns the stored grants of a member that are newer than epoch, oldest first.
func (s *Service) grantsAfter(member string, epoch uint64) ([]*wire.Grant, error) {
	var gs []*wire.Grant
	err := s.st.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bktGrants).Cursor()
		prefix := member + "/"
		if epoch+1 == 0 {
			return nil
		}
		for k, v := c.Seek(numbered(member, epoch+1)); k != nil && len(k) == len(prefix)+8 && string(k[:len(prefix)]) == prefix; k, v = c.Next() {
			g := new(wire.Grant)
			if err := json.Unmarshal(v, g); err != nil {
				return fmt.Errorf("grant of %s: %w", member, home.ErrCorrupt)
			}
			gs = append(gs, g)
		}
		return nil
	})
	return gs, err
}

// tell has an account's members told of its newest epoch.
func (s *Service) tell(account string) {
	s.newsMu.Lock()
	s.news[account] = true
	s.newsMu.Unlock()
	poke(s.epochs)
}

func (s *Service) newsLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.epochs:
		}
		s.newsMu.Lock()
		news := s.news
		s.news = map[string]bool{}
		s.newsMu.Unlock()
		for id := range news {
			if err := s.announce(ctx, id); err != nil && ctx.Err() == nil {
				// Nobody is told now. Whoever connects asks, and the notice is said again at the next connect.
				s.o.Log.Warn("epoch not announced", "account", id, "err", err)
			}
		}
	}
}

// announce sends each member its newest grant, and then the notice, retained: whoever hears the notice without having its grant asks.
func (s *Service) announce(ctx context.Context, id string) error {
	a, ok := s.dir.account(id)
	if !ok {
		return nil
	}
	for _, m := range s.dir.membersOf(id) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gs, err := s.grantsAfter(m.Name, a.Epoch-1)
		if err != nil {
			return err
		}
		for _, g := range gs {
			if err := s.say(m.Name, "", g); err != nil {
				return err
			}
		}
	}
	return s.conn.Publish(s.notice(a))
}

// notice returns the account's newest notice as it stands in its topic.
func (s *Service) notice(a *account) mqtt.Message {
	return mqtt.Message{Topic: wire.NoticeTopic(a.ID), Payload: a.Notice.JWS(), Retained: true}
}

// notices returns the notice of every account that has members.
func (s *Service) notices() []mqtt.Message {
	s.dir.mu.RLock()
	var as []*account
	for id, h := range s.dir.house {
		if len(h.members) > 0 {
			as = append(as, s.dir.accounts[id])
		}
	}
	s.dir.mu.RUnlock()
	ms := make([]mqtt.Message, len(as))
	for i, a := range as {
		ms[i] = s.notice(a)
	}
	return ms
}

// grantLife is how long a grant may be on its way. After that a member asks anyway.
const grantLife = 24 * time.Hour

// say signs and sends a message to a member.
func (s *Service) say(to, re string, b wire.Body) error {
	m := &wire.Message{Re: re, To: to, At: s.now().UnixMilli(), Body: b}
	if _, ok := b.(*wire.Grant); ok {
		m.Exp = s.now().Add(grantLife).UnixMilli()
	}
	raw, err := s.id.Sign(m)
	if err != nil {
		return err
	}
	return s.conn.Publish(mqtt.Message{Topic: wire.InboxTopic(to), Payload: raw})
}
