package account

import (
	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// enrol makes a member of a hub that shows a pairing, or of a device that a hub has bound. m is verified against the keys in b, and
// those give the member's name.
func (t *talks) enrol(b *box, m *wire.Message, e *wire.Enrol) {
	s := t.s
	s.change.Lock()
	answer, grant, err := s.enrol(m, e)
	s.change.Unlock()
	switch {
	case err != nil:
		s.o.Log.Error("member not enrolled", "member", m.From, "err", err)
		t.answer(b, m, &wire.Refusal{Code: wire.CodeBusy})
	case grant == nil:
		t.answer(b, m, answer)
	default:
		s.o.Log.Info("member enrolled", "member", m.From, "account", grant.Notice.Account)
		t.answer(b, m, answer)
		t.answer(b, m, grant)
	}
}

// enrol is one transaction; s.change is held. grant is nil when answer is a refusal.
func (s *Service) enrol(m *wire.Message, e *wire.Enrol) (answer wire.Body, grant *wire.Grant, err error) {
	next := &member{Name: m.From, Keys: e.Keys, Label: e.Name, Version: e.Version, At: s.now().UnixMilli()}
	var a *account
	var dev *bound
	var pairing offer
	proof := []byte(nil)
	if isHub(m.From) {
		var refusal wire.Body
		if pairing, a, proof, refusal = s.paired(m.From, e); refusal != nil {
			return refusal, nil, nil
		}
		pairing.Used = m.From
	} else if dev, a = s.invited(m.From, e); dev == nil {
		return &wire.Refusal{Code: wire.CodeUnknown, Detail: "a hub has to bind this device first"}, nil, nil
	}
	next.Account = a.ID
	s.dir.mu.RLock()
	secret := s.dir.house[a.ID].secret
	s.dir.mu.RUnlock()
	var password home.Secret
	if len(pairing.Password) > 0 && pairing.Epoch == a.Epoch {
		raw, err := s.st.key.Open(pairing.Password, "pairing/"+e.Pairing+"/password")
		if err != nil {
			return nil, nil, err
		}
		password = home.SecretBytes(raw)
	}
	box, err := s.seal(a, next, secret, password)
	if err != nil {
		return nil, nil, err
	}
	var out, gone []string // what it was elsewhere, it is no more
	old, known := s.dir.member(m.From)
	switch {
	case known && old.Account != a.ID:
		gone = s.dir.heldBy(m.From)
		out = append(s.own(gone), m.From)
	case known:
		next.At, next.Acked = old.At, old.Acked
	}
	err = s.st.Update(func(tx *bbolt.Tx) error {
		if err := expel(tx, out, gone); err != nil {
			return err
		}
		if err := put(tx, bktMembers, []byte(next.Name), next); err != nil {
			return err
		}
		if err := box.store(tx, a.Epoch); err != nil {
			return err
		}
		if dev != nil {
			if err := put(tx, bktDevices, []byte(dev.ID), &dev.device); err != nil {
				return err
			}
		} else if err := put(tx, bktPairings, []byte(e.Pairing), pairing); err != nil {
			return err
		}
		if err := tx.Bucket(bktSeqs).Put([]byte(m.From), be(m.Seq)); err != nil {
			return err
		}
		if known && len(out) == 0 {
			return nil
		}
		what := "hub enrolled"
		if dev != nil {
			what = "device enrolled"
		}
		return record(tx, a.ID, Event{At: next.At, What: what, Detail: e.Name})
	})
	if err != nil {
		return nil, nil, err
	}
	s.dir.forget(out, gone)
	s.dir.setMember(next)
	enrolled := &wire.Enrolled{Account: a.ID, Keys: s.id.Keys, Notice: a.Notice.Notice, Proof: proof}
	if dev != nil {
		s.dir.setDevices([]*bound{dev})
	} else {
		enrolled.Email = a.Email
	}
	gs, err := s.grantsAfter(next.Name, a.Epoch-1)
	if err != nil || len(gs) == 0 {
		return nil, nil, err
	}
	return enrolled, gs[0], nil
}

// unused tells whether there is a pairing of that name that nobody has used yet.
func (s *Service) unused(pairing string) bool {
	unused := false
	_ = s.st.View(func(tx *bbolt.Tx) error { // what cannot be read is not unused
		o, ok, err := get[offer](tx, bktPairings, []byte(pairing))
		unused = ok && err == nil && o.Used == ""
		return nil
	})
	return unused
}

// paired checks a hub's pairing: made by the account's owner, not too old, used by nobody else. A hub that did not get the
// answer may use it again.
func (s *Service) paired(hub string, e *wire.Enrol) (p offer, a *account, proof []byte, refusal wire.Body) {
	refuse := func(detail string) (offer, *account, []byte, wire.Body) {
		return offer{}, nil, nil, &wire.Refusal{Code: wire.CodePairing, Detail: detail}
	}
	var ok bool
	var err error
	err = s.st.View(func(tx *bbolt.Tx) error {
		p, ok, err = get[offer](tx, bktPairings, []byte(e.Pairing))
		return err
	})
	if err != nil || !ok {
		return refuse("no such pairing")
	}
	raw, err := s.st.key.Open(p.Secret, "pairing/"+e.Pairing)
	if err != nil {
		return refuse("no such pairing")
	}
	secret := home.SecretBytes(raw)
	if !wire.Equal(wire.PairingProof(secret, wire.RoleHub, e.Pairing, hub, e.Keys), e.Proof) {
		s.counts.forged.Add(1)
		return refuse("no such pairing")
	}
	if s.now().UnixMilli() > p.Expires {
		return refuse("the pairing is too old")
	}
	if p.Used != "" && p.Used != hub {
		return refuse("the pairing was used")
	}
	if a, ok = s.dir.account(p.Account); !ok {
		return refuse("no such pairing")
	}
	return p, a, wire.PairingProof(secret, wire.RoleService, e.Pairing, hub, s.id.Keys), nil
}

// invited returns the device as it is once it has enrolled, or nil: it has to have been bound by a hub, and to bring its
// binding secret, sealed for that account.
func (s *Service) invited(name string, e *wire.Enrol) (*bound, *account) {
	s.dir.mu.RLock()
	old := s.dir.devices[name]
	s.dir.mu.RUnlock()
	if old == nil || !old.own() {
		return nil, nil
	}
	a, ok := s.dir.account(old.Account)
	if !ok {
		return nil, nil
	}
	secret, err := s.id.Open(wire.SecretInfo(a.ID, name), e.Secret)
	if err != nil || len(secret) != 32 {
		return nil, nil
	}
	s.dir.mu.RLock()
	defer s.dir.mu.RUnlock()
	next := &bound{device: old.device, secret: home.SecretBytes(secret), session: old.session, confirmed: old.confirmed}
	next.Secret = s.st.key.Seal(secret, "binding/"+name)
	return next, a
}
