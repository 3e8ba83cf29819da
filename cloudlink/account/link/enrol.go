package link

import (
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// enrol makes a member of a hub that shows a pairing, or of a device that a hub has bound. m is verified against the keys in e, and
// those give the member's name.
func (t *talks) enrol(b *box, m *wire.Message, e *wire.Enrol) {
	l := t.l
	answer, grant, err := l.enrol(m, e)
	for range 3 { // the account's epoch can change meanwhile
		if !errors.Is(err, account.ErrEpoch) {
			break
		}
		answer, grant, err = l.enrol(m, e)
	}
	switch {
	case errors.Is(err, account.ErrReplayed):
		l.counts.replayed.Add(1)
	case err != nil:
		l.o.Log.Error("member not enrolled", "member", m.From, "err", err)
		t.answer(b, m, &wire.Refusal{Code: wire.CodeBusy})
	case grant == nil:
		t.answer(b, m, answer)
	default:
		l.o.Log.Info("member enrolled", "member", m.From, "account", grant.Notice.Account)
		t.answer(b, m, answer)
		t.answer(b, m, grant)
	}
}

// enrol is one transaction of the store. grant is nil when answer is a refusal.
func (l *Link) enrol(m *wire.Message, e *wire.Enrol) (answer wire.Body, grant *wire.Grant, err error) {
	now := l.s.Now()
	next := account.Enrolment{
		Member:  account.Member{Name: m.From, Keys: e.Keys, Label: e.Name, Version: e.Version, At: now},
		Seq:     m.Seq,
		Pairing: e.Pairing,
		Event:   account.Event{At: now, What: "device enrolled", Detail: e.Name},
	}
	var proof []byte
	var password home.Secret
	var a account.Account
	if account.IsHub(m.From) {
		p, refusal := l.paired(m.From, e)
		if refusal != nil {
			return refusal, nil, nil
		}
		if a, err = l.st.Account(p.Account); err != nil {
			return nil, nil, err
		}
		if p.Epoch == a.Epoch {
			password = p.Password
		}
		next.Event.What = "hub enrolled"
		proof = wire.PairingProof(p.Secret, wire.RoleService, e.Pairing, m.From, l.id.Keys)
	} else if a, next.Secret, err = l.invited(m.From, e); err != nil {
		return nil, nil, err
	} else if a.ID == "" {
		return &wire.Refusal{Code: wire.CodeUnknown, Detail: "a hub has to bind this device first"}, nil, nil
	}
	next.Member.Account = a.ID
	if next.Grant, err = account.SealGrant(a, next.Member, password); err != nil {
		return nil, nil, err
	}
	err = l.st.Enrol(next)
	switch {
	case errors.Is(err, account.ErrUsed):
		return &wire.Refusal{Code: wire.CodePairing, Detail: "the pairing was used"}, nil, nil
	case errors.Is(err, home.ErrNotFound):
		return &wire.Refusal{Code: wire.CodeUnknown, Detail: "a hub has to bind this device first"}, nil, nil
	case err != nil:
		return nil, nil, err
	}
	l.s.Changes.Add(a.ID)
	enrolled := &wire.Enrolled{Account: a.ID, Keys: l.id.Keys, Notice: a.Notice, Proof: proof}
	if next.Member.IsHub() {
		enrolled.Email = a.Email
	}
	return enrolled, &wire.Grant{Notice: next.Grant.Notice, Sealed: next.Grant.Sealed}, nil
}

// unused tells whether there is a pairing of that name that nobody has used yet.
func (l *Link) unused(pairing string) bool {
	p, err := l.st.Pairing(pairing)
	return err == nil && p.Used == ""
}

// paired checks a hub's pairing: made by the account's owner, not too old, used by nobody else. A hub that did not get the
// answer may use it again.
func (l *Link) paired(hub string, e *wire.Enrol) (account.Pairing, wire.Body) {
	refuse := func(detail string) (account.Pairing, wire.Body) {
		return account.Pairing{}, &wire.Refusal{Code: wire.CodePairing, Detail: detail}
	}
	p, err := l.st.Pairing(e.Pairing)
	if err != nil {
		return refuse("no such pairing")
	}
	if !wire.Equal(wire.PairingProof(p.Secret, wire.RoleHub, e.Pairing, hub, e.Keys), e.Proof) {
		l.counts.forged.Add(1)
		return refuse("no such pairing")
	}
	if l.s.Now().After(p.Expires) {
		return refuse("the pairing is too old")
	}
	if p.Used != "" && p.Used != hub {
		return refuse("the pairing was used")
	}
	return p, nil
}

// invited returns the account that a device enrols with, and its binding secret. A hub of the account has to have bound it, and the
// secret is sealed for that account. The zero Account is none.
func (l *Link) invited(name string, e *wire.Enrol) (account.Account, home.Secret, error) {
	ids, err := l.st.Invitations(name)
	if err != nil {
		return account.Account{}, home.Secret{}, err
	}
	for _, id := range ids {
		secret, err := l.id.Open(wire.SecretInfo(id, name), e.Secret)
		if err != nil || len(secret) != 32 {
			continue
		}
		a, err := l.st.Account(id)
		return a, home.SecretBytes(secret), err
	}
	return account.Account{}, home.Secret{}, nil
}
