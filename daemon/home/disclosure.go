package home

import (
	"errors"
	"net/netip"
	"strings"
	"time"
)

// This file decides who receives a password, or a hash that serves as one (daemon/DESIGN.md, section 6). The engine and
// every driver ask the same function: Terms.Permit.

// Consents are what an owner allowed for one binding. The zero value allows nothing.
type Consents struct {
	// FreshUntil ends the factory-fresh consent, UTC: until then a device that proves the factory credential, or holds
	// none, may receive the newest password. A probe that finds an account's credential ends it earlier. Zero for none.
	FreshUntil time.Time
	Cleartext  CleartextConsent
	// Exposed is the Account.Exposed at which the owner ordered to move the device all the same; 0 for none.
	Exposed Epoch
}

// CleartextConsent allows passwords to a device that can prove nothing, as long as it stays with its protocol and its
// address. The zero value allows nothing.
type CleartextConsent struct {
	Protocol Protocol
	Addr     netip.Addr
}

// For reports whether the consent is for the device as it was last sighted.
func (c CleartextConsent) For(d Device) bool {
	return c.Addr.IsValid() && c.Addr == d.Addr.Addr() && c.Protocol == d.Protocol
}

// FreshTime is how long a factory-fresh consent lasts.
const FreshTime = 24 * time.Hour

// Fresh reports whether the factory-fresh consent is in force. One that ends later than a new one would was given by
// a clock that was ahead, and is not.
func (c Consents) Fresh(now time.Time) bool {
	return now.Before(c.FreshUntil) && c.FreshUntil.Sub(now) <= FreshTime
}

// Terms are the conditions under which one device may receive a secret of the account. The zero value permits nothing.
type Terms struct {
	Bound     bool
	Least     ProofRank // the strongest proof that the device ever gave: a weaker conversation is not enough
	Fresh     bool      // the factory-fresh consent is in force
	Cleartext bool      // the cleartext consent is in force
	Since     Epoch     // a proof of an older credential is not enough: somebody else may know it; 0 for every epoch
}

// Terms returns the conditions for the device of the binding, as it was last sighted. A native device that holds
// nothing needs no consent: its ID is the hash of its keys, and it proves that it has them.
func (b Binding) Terms(a Account, d Device, now time.Time) Terms {
	own := d.Protocol == Native && strings.HasPrefix(string(d.ID), "rk-")
	t := Terms{
		Bound: b.Device != "" && b.Device == d.ID, Least: b.ProofRank,
		Fresh: b.Consents.Fresh(now) || own, Cleartext: b.Consents.Cleartext.For(d),
	}
	if d.Protocol != Native && b.Consents.Exposed < a.Exposed {
		t.Since = a.Exposed
	}
	return t
}

// Held reports whether the binding's device waits for its owner: it holds a credential that somebody else may know.
func (b Binding) Held(a Account, d Device, now time.Time) bool {
	e := Evidence{Rank: d.Protocol.Info().Rank, Held: b.Verdict.State, Epoch: b.Verdict.Epoch}
	return errors.Is(b.Terms(a, d, now).Permit(e), ErrExposed)
}

// Reset returns the verdict of a probe of the binding's device. Where it held a credential of the account and now holds
// the factory's, or none, it is WasReset unless t allows to give it the newest one.
func (b Binding) Reset(v Verdict, t Terms) Verdict {
	held := b.DeviceEpoch != 0 || b.CloudEpoch != 0
	if held && !t.Fresh && (v.State == Default || v.State == Blank) {
		v.State = WasReset
	}
	return v
}

// Evidence is what a device proved in the conversation in which it would receive a secret.
type Evidence struct {
	Rank ProofRank // of the conversation
	Held State     // the verdict of the credential that it proved or stated to hold; empty where it did neither
	// Epoch is that of the credential, 0 where it is not known.
	Epoch Epoch
}

// Proved is the evidence of a device that proved, before it received a secret, that it holds the credential of v.
func Proved(v Verdict) Evidence { return Evidence{Rank: ProvesFirst, Held: v.State, Epoch: v.Epoch} }

// Reasons for which a device receives no secret.
var (
	ErrNotBound  = errors.New("it is not bound to the account")
	ErrWeaker    = errors.New("it uses an older protocol than before, in which it proves less")
	ErrWasReset  = errors.New("it was reset, or is another device")
	ErrUnproved  = errors.New("it proved no password of the account")
	ErrExposed   = errors.New("it proved a password that somebody else may know, so that anyone could answer in its place")
	ErrCleartext = errors.New("it takes its password nearly in the clear, and that is not allowed for it at its address")
)

// Permit returns nil where the device may receive a secret of the account, else the reason.
func (t Terms) Permit(e Evidence) error {
	switch {
	case e.Rank == 0:
		return ErrUnproved
	case t.Bound && e.Rank < t.Least:
		return ErrWeaker
	case e.Rank < ProvesFirst && !(t.Bound && t.Cleartext):
		return ErrCleartext
	case !t.Bound:
		return ErrNotBound
	}
	switch e.Held {
	case Current, Stale, WrongCase:
		if e.Rank == ProvesFirst && e.Epoch < t.Since {
			return ErrExposed
		}
		return nil
	case Default, Blank:
		if t.Fresh {
			return nil
		}
		return ErrWasReset
	}
	if e.Rank < ProvesFirst {
		return nil // it can prove nothing, and its owner knows
	}
	return ErrUnproved
}
