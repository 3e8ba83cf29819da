package cloudlink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/pairing"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// offer is a pairing that waits to be used.
type offer struct {
	pairing  pairing.Pairing
	email    string
	password home.Secret
	enrolled bool       // the service has answered; its first grant is awaited
	done     chan error // buffered: written once
}

// Enrol joins the account of a pairing and waits until the account's newest grant is on disk. The e-mail address and
// password are what the account's owner typed; the service has just checked them and keeps neither in the clear. A
// second call ends the first with an error. The pairing of another account than the hub's own is home.ErrForeign.
func (l *Link) Enrol(ctx context.Context, p pairing.Pairing, email string, password home.Secret) error {
	for _, url := range wire.URLs(p.Brokers) {
		if _, err := mqtt.ParseBroker(url); err != nil {
			return &home.Error{Op: "enrol this hub", Err: err, Hint: "sign in again with: rekeyd login EMAIL"}
		}
	}
	if err := l.mayEnrol(p, email); err != nil {
		return err
	}
	o := &offer{pairing: p, email: email, password: password, done: make(chan error, 1)}
	l.mu.Lock()
	if l.offer != nil {
		l.offer.done <- &home.Error{
			Op: "enrol this hub", Err: errors.New("another sign-in has begun"), Hint: "wait for that one; see rekeyd status",
		}
	}
	l.offer, l.pending = o, nil
	l.mu.Unlock()
	l.Rejoin()
	l.Wake()
	select {
	case <-ctx.Done():
		l.mu.Lock()
		if l.offer == o {
			l.offer = nil
		}
		why := l.down()
		l.mu.Unlock()
		if why == "" {
			why = "the account service did not answer"
		}
		return fmt.Errorf("enrol: %s: %w", why, home.ErrUnavailable)
	case err := <-o.done:
		return err
	}
}

// mayEnrol refuses the pairing of another account than the hub's own, before the service learns of it. Another account
// of the same address means that the service has lost the one before, or another service is meant.
func (l *Link) mayEnrol(p pairing.Pairing, email string) error {
	a, err := l.o.Store.Account()
	switch {
	case errors.Is(err, home.ErrNoAccount):
		return nil
	case err != nil:
		return err
	case string(a.ID) != p.Account && strings.EqualFold(email, a.Email):
		return &home.Error{
			Op: "enrol this hub", Err: fmt.Errorf(
				"the account service has another account %s than that of this hub: %w", a.Email, home.ErrForeign,
			),
			Hint: "if the account service has lost its state, stop rekeyd, run: rekeyd leave; start it, and sign in again: " +
				"the passwords in the vault are kept",
		}
	case string(a.ID) != p.Account:
		return &home.Error{
			Op: "enrol this hub", Err: fmt.Errorf("it belongs to the account %s: %w", a.Email, home.ErrForeign),
			Hint: "sign in as " + a.Email + ", or start rekeyd with another --state directory for another account",
		}
	}
	return nil
}

// enrol asks to become a member of the account: with the pairing of o, or as a native device where o is nil.
func (l *Link) enrol(now time.Time, account string, o *offer) error {
	l.mu.Lock()
	early := now.Before(l.enrolAgain)
	l.mu.Unlock()
	if early {
		return nil
	}
	sealing, all, err := l.sealers()
	if err != nil {
		return err
	}
	id := l.o.Identity
	keys := wire.Keys{Sign: id.Keys.Sign, Seal: all[0].Public}
	b := &wire.Enrol{Account: account, Keys: keys, Name: l.o.Name, Version: l.o.Version}
	r := &request{kind: kindEnrol, account: account, seal: sealing[0].Seed}
	if o != nil {
		r.service = o.pairing.Service.Name(wire.RoleService)
		b.Pairing = o.pairing.Name
		b.Proof = wire.PairingProof(o.pairing.Secret, wire.RoleHub, o.pairing.Name, id.Name, keys)
	} else {
		a, err := l.o.Store.Account()
		if err != nil {
			return err
		}
		r.service = serviceOf(a)
		b.Secret, err = serviceKeys(a).SealTo(wire.SecretInfo(account, id.Name), []byte(l.o.Secret.Reveal()))
		if err != nil {
			return err
		}
	}
	return l.start(now, r, func(string) wire.Body { return b })
}

func (l *Link) enrolled(r *request, _ *wire.Message, b *wire.Enrolled) error {
	l.mu.Lock()
	o := l.offer
	l.mu.Unlock()
	if o == nil { // a native device: it joined through its endpoint, and knows the account already
		if err := l.o.Store.KeepSealingKey(r.seal); err != nil {
			return err
		}
		l.mu.Lock()
		l.member, l.unsealed, l.turned = true, false, 0
		l.mu.Unlock()
		l.finish(r)
		return nil
	}
	p, id := o.pairing, l.o.Identity
	proof := wire.PairingProof(p.Secret, wire.RoleService, p.Name, id.Name, b.Keys)
	if !wire.Equal(proof, b.Proof) || b.Account != p.Account {
		return fmt.Errorf("enrolled: %w", home.ErrForged)
	}
	if err := b.Notice.Verify(b.Keys, b.Account); err != nil {
		return err
	}
	if err := l.o.Store.KeepSealingKey(r.seal); err != nil { // the service has taken it, and seals to no other
		return err
	}
	a := home.Account{
		ID: home.AccountID(b.Account), Email: b.Email, ServiceKey: b.Keys.Sign, ServiceSeal: b.Keys.Seal,
		Notice: b.Notice.Hash(), NoticeEpoch: home.Epoch(b.Notice.Epoch), NoticeJSON: b.Notice.JWS(),
		Brokers: wire.URLs(p.Brokers), URL: p.URL,
	}
	typed := home.Credential{Epoch: a.NoticeEpoch, Username: b.Email, Password: o.password}
	if err := l.o.Store.Enrol(a, typed); err != nil {
		l.settle(err)
		return err
	}
	l.mu.Lock()
	o.enrolled = true
	l.mu.Unlock()
	l.finish(r)
	l.Rejoin() // with the account's topics
	return nil
}

// settle ends the Enrol that waits: with err, or once the service has answered it.
func (l *Link) settle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.offer; o != nil && (o.enrolled || err != nil) {
		l.offer = nil
		o.done <- err // buffered, and written once
	}
}
