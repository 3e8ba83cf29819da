package account

import (
	"bytes"
	"encoding/binary"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// talk is one message of a member that is about its account. Each method answers one type; what it tells of is on disk before. An
// error is this side's own.
type talk struct {
	s    *Service
	open *challenges
	from *member
	a    *account
	seq  uint64
}

// ours refuses what is about another account: a member acts for its own.
func (c *talk) ours(account string) (wire.Body, error) {
	if account != c.a.ID {
		return &wire.Refusal{Code: wire.CodeForeign, Detail: "another account"}, nil
	}
	return nil, nil
}

// newest refuses what is about another account, or about an epoch that is not the newest.
func (c *talk) newest(account string, epoch uint64) wire.Body {
	if r, _ := c.ours(account); r != nil {
		return r
	}
	if epoch != c.a.Epoch {
		return &wire.Refusal{Code: wire.CodeOldEpoch}
	}
	return nil
}

func (c *talk) receipt(refused []wire.Outcome) wire.Body {
	a, _ := c.s.dir.account(c.a.ID) // the newest: it may have changed meanwhile
	return &wire.Receipt{Account: a.ID, Epoch: a.Epoch, Notice: a.Notice.Notice, Refused: refused}
}

// update is one transaction, with the member's sequence number.
func (c *talk) update(do func(*bbolt.Tx) error) error {
	return c.s.st.Update(func(tx *bbolt.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return tx.Bucket(bktSeqs).Put([]byte(c.from.Name), be(c.seq))
	})
}

func (c *talk) ack(b *wire.Ack) (wire.Body, error) {
	if r, err := c.ours(b.Account); r != nil {
		return r, err
	}
	if b.Epoch > c.a.Epoch {
		return &wire.Refusal{Code: wire.CodeUnknown, Detail: "no such epoch"}, nil
	}
	c.s.change.Lock()
	defer c.s.change.Unlock()
	m, ok := c.s.dir.member(c.from.Name)
	if !ok || m.Account != c.a.ID {
		return &wire.Refusal{Code: wire.CodeUnknown}, nil
	}
	if b.Epoch > m.Acked {
		next := *m
		next.Acked = b.Epoch
		if err := c.update(func(tx *bbolt.Tx) error { return put(tx, bktMembers, []byte(next.Name), &next) }); err != nil {
			return nil, err
		}
		c.s.dir.setMember(&next)
	}
	return c.receipt(nil), nil
}

// bind takes devices into the account. A device has one holder: another hub of the account that binds it takes it over. One that belongs
// to another account is refused, except a device that speaks the link and has enrolled with nobody: its own word will decide.
func (c *talk) bind(b *wire.Bind) (wire.Body, error) {
	if r, err := c.ours(b.Account); r != nil {
		return r, err
	}
	secrets, err := c.s.id.Open(wire.SecretInfo(c.a.ID, c.from.Name), b.Secrets)
	if err != nil || len(secrets) != 32*len(b.Devices) || !isHub(c.from.Name) {
		c.s.counts.forged.Add(1)
		return &wire.Refusal{Code: wire.CodeForged, Detail: "the binding secrets cannot be opened"}, nil
	}
	c.s.change.Lock()
	defer c.s.change.Unlock()
	if m, ok := c.s.dir.member(c.from.Name); !ok || m.Account != c.a.ID {
		return &wire.Refusal{Code: wire.CodeUnknown}, nil // removed since
	}
	var bs []*bound
	var refused []wire.Outcome
	c.s.dir.mu.RLock()
	room := c.s.o.Policy.MaxDevices - len(c.s.dir.house[c.a.ID].devices)
	for i, d := range b.Devices {
		old := c.s.dir.devices[d.ID]
		n := &bound{device: device{Device: d, Account: c.a.ID, Holder: c.from.Name}}
		secret := secrets[32*i : 32*i+32]
		native := strings.HasPrefix(d.ID, string(wire.RoleDevice)+"-")
		free := old == nil || old.Account == c.a.ID || old.own() && old.secret.IsZero()
		switch {
		case n.own() != native, !native && bytes.Equal(secret, make([]byte, 32)):
			refused = append(refused, wire.Outcome{ID: d.ID, Code: wire.CodeForged})
			continue
		case !free:
			refused = append(refused, wire.Outcome{ID: d.ID, Code: wire.CodeForeign})
			continue
		case old == nil || old.Account != c.a.ID:
			if room--; room < 0 {
				refused = append(refused, wire.Outcome{ID: d.ID, Code: wire.CodeBusy})
				continue
			}
		case native: // what it enrolled with stays
			n.secret, n.Secret, n.session, n.confirmed = old.secret, old.Secret, old.session, old.confirmed
		}
		if !native {
			n.secret = home.SecretBytes(secret)
			if old != nil && old.Account == c.a.ID && old.secret.Equal(n.secret) {
				n.Secret, n.session, n.confirmed = old.Secret, old.session, old.confirmed
			} else {
				n.Secret = c.s.st.key.Seal(secret, "binding/"+d.ID)
			}
		}
		bs = append(bs, n)
	}
	c.s.dir.mu.RUnlock()
	err = c.update(func(tx *bbolt.Tx) error {
		for _, n := range bs {
			if err := put(tx, bktDevices, []byte(n.ID), &n.device); err != nil {
				return err
			}
			if err := putSignIn(tx, n.ID, n.session, n.confirmed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.s.dir.setDevices(bs)
	c.s.watch.tell(c.a.ID)
	return c.receipt(refused), nil
}

func putSignIn(tx *bbolt.Tx, id string, session, confirmed uint64) error {
	return tx.Bucket(bktSignIns).Put([]byte(id), binary.BigEndian.AppendUint64(be(session), confirmed))
}

// unbind takes devices out of the account. Any hub of the account may.
func (c *talk) unbind(b *wire.Unbind) (wire.Body, error) {
	if r, err := c.ours(b.Account); r != nil {
		return r, err
	}
	if !isHub(c.from.Name) {
		return &wire.Refusal{Code: wire.CodeForeign, Detail: "a hub does this"}, nil
	}
	refused, err := c.s.unbind(c.a.ID, b.Devices, c.update)
	if err != nil {
		return nil, err
	}
	return c.receipt(refused), nil
}

// unbind takes devices out of an account, in one transaction that update opens.
func (s *Service) unbind(account string, ids []string, update func(func(*bbolt.Tx) error) error) ([]wire.Outcome, error) {
	s.change.Lock()
	defer s.change.Unlock()
	var gone []string
	var refused []wire.Outcome
	s.dir.mu.RLock()
	for _, id := range ids {
		switch d := s.dir.devices[id]; {
		case d == nil:
			refused = append(refused, wire.Outcome{ID: id, Code: wire.CodeUnknown})
		case d.Account != account:
			refused = append(refused, wire.Outcome{ID: id, Code: wire.CodeForeign})
		default:
			gone = append(gone, id)
		}
	}
	s.dir.mu.RUnlock()
	out := s.own(gone)
	if err := update(func(tx *bbolt.Tx) error { return expel(tx, out, gone) }); err != nil {
		return nil, err
	}
	s.dir.forget(out, gone)
	s.watch.tell(account)
	return refused, nil
}
