package link

import (
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// enrol makes a member of a hub that shows a pairing, or of a native device that a hub has bound. The message is
// verified against the key in e, and that gives the member's name. A member that did not get the answer enrols again.
func (r *request) enrol(e *wire.Enrol) (answers []wire.Body, err error) {
	for range 3 { // the account's epoch can change meanwhile
		if answers, err = r.enrolOnce(e); !errors.Is(err, account.ErrEpoch) {
			break
		}
	}
	return answers, err
}

// enrolKeys returns the keys in an enrolment: those of its sender, whom the store need not know.
func enrolKeys(b wire.Body) (wire.Keys, bool) {
	if e, ok := b.(*wire.Enrol); ok {
		return e.Keys, true
	}
	return wire.Keys{}, false
}

// enrolOnce is one transaction of the store.
func (r *request) enrolOnce(e *wire.Enrol) ([]wire.Body, error) {
	l, now, name := r.l, r.l.s.Now(), r.m.From
	next := account.Enrolment{
		Member: account.Member{Name: name, Account: e.Account, Keys: e.Keys, Label: e.Name, Version: e.Version, At: now},
		Seq:    r.m.Seq, Pairing: e.Pairing, Event: account.Event{At: now, What: "device enrolled", Detail: e.Name},
	}
	var p account.Pairing
	var refusal []wire.Body
	var err error
	if next.Member.IsHub() {
		next.Event.What = "hub enrolled"
		p, refusal = l.paired(name, e)
	} else {
		next.Secret, refusal, err = l.invited(name, e)
	}
	if refusal != nil || err != nil {
		return refusal, err
	}
	a, err := l.st.Account(e.Account)
	if err != nil {
		return nil, err
	}
	var password home.Secret
	if p.Epoch == a.Epoch {
		password = p.Password
	}
	if next.Grant, err = account.SealGrant(a, next.Member, password); err != nil {
		return nil, err
	}
	err = l.s.Enrol(a, next)
	switch {
	case errors.Is(err, account.ErrUsed):
		return refuse(wire.CodePairing, "the pairing was used"), nil
	case errors.Is(err, home.ErrForeign):
		return refuse(wire.CodeForeign, "the hub belongs to another account, whose owner has to remove it first"), nil
	case errors.Is(err, home.ErrNotFound):
		return refuse(wire.CodeUnknown, "a hub has to bind this device first"), nil
	case err != nil:
		return nil, err
	}
	l.o.Log.Info("member enrolled", "member", name, "account", a.ID)
	enrolled := &wire.Enrolled{Account: a.ID, Keys: l.id.Keys, Notice: a.Notice}
	if next.Member.IsHub() {
		enrolled.Email = a.Email
		enrolled.Proof = wire.PairingProof(p.Secret, wire.RoleService, e.Pairing, name, l.id.Keys)
	}
	return []wire.Body{enrolled, &wire.Grant{Notice: next.Grant.Notice, Sealed: next.Grant.Sealed}}, nil
}

// paired checks a hub's pairing: made by the account's owner, not too old, used by no other hub. A hub that did not get
// the answer may use it again.
func (l *Link) paired(hub string, e *wire.Enrol) (account.Pairing, []wire.Body) {
	refuse := func(detail string) (account.Pairing, []wire.Body) {
		return account.Pairing{}, refuse(wire.CodePairing, detail)
	}
	p, err := l.st.Pairing(e.Pairing)
	if err != nil || p.Account != e.Account {
		return refuse("no such pairing")
	}
	if !wire.Equal(wire.PairingProof(p.Secret, wire.RoleHub, e.Pairing, hub, e.Keys), e.Proof) {
		l.dropped("forged", hub, nil)
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

// invited returns the binding secret of a native device, which is sealed for the account. A hub of that account has to
// have bound it.
func (l *Link) invited(name string, e *wire.Enrol) (home.Key, []wire.Body, error) {
	d, err := l.st.Device(e.Account, name)
	if errors.Is(err, home.ErrNotFound) || err == nil && !d.Native() {
		return home.Key{}, refuse(wire.CodeUnknown, "a hub has to bind this device first"), nil
	}
	if err != nil {
		return home.Key{}, nil, err
	}
	secret, err := l.id.Open(wire.SecretInfo(e.Account, name), e.Secret)
	if err != nil || len(secret) != 32 {
		return home.Key{}, refuse(wire.CodeUnknown, "the binding secret cannot be opened"), nil
	}
	return home.KeyBytes(secret), nil, nil
}
