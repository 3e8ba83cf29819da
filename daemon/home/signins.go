package home

import (
	"slices"
	"time"
)

// SignIns is what is kept of the sign-ins to a device that counts wrong ones, where only the device can judge which are
// right.
type SignIns struct {
	Verifier    string    // identifies what the device stored at the time; no secret
	Owner       string    // see Sighting.Owner
	Accepted    Secret    // the credential that the device accepted last, in the form that it wants; zero for none
	Refused     []Refusal // while Verifier is the same
	LastRefused time.Time
	Left        *int // wrong sign-ins before it locks, by its last refusal; nil where that is not known
}

// Refusal is a credential that a device refused.
type Refusal struct {
	Credential Secret // in the form that the device wants
	At         time.Time
}

// RefusedTime is how long a credential that a device has refused is not tried again.
const RefusedTime = 24 * time.Hour

// For returns s for a device as it is now, where it does not report what it stores: with another hardware key or owner
// it was replaced or set up again, and what was refused and accepted does not count.
func (s SignIns) For(d Device) SignIns {
	var key string
	if keys := d.HardwareKeys(); len(keys) > 0 {
		key = keys[0]
	}
	moved := s.Owner != "" && d.Owner != "" && s.Owner != d.Owner
	if s.Verifier != key || moved {
		s = SignIns{Verifier: key}
	}
	if d.Owner != "" {
		s.Owner = d.Owner
	}
	return s
}

// Refuses reports whether the device refused a credential within RefusedTime.
func (s SignIns) Refuses(credential Secret, now time.Time) bool {
	at, refused := s.RefusedAt(credential)
	return refused && Age(at, now, RefusedTime) < RefusedTime
}

// RefusedAt returns when the device refused a credential; ok is false where it did not.
func (s SignIns) RefusedAt(credential Secret) (at time.Time, ok bool) {
	i := slices.IndexFunc(s.Refused, func(r Refusal) bool { return r.Credential.Equal(credential) })
	if i < 0 {
		return at, false
	}
	return s.Refused[i].At, true
}

// Refuse returns s after the device has refused a credential. Where that is the one that it accepted last, the device
// stores another since: any may be right.
func (s SignIns) Refuse(credential Secret, now time.Time) SignIns {
	others := slices.DeleteFunc(slices.Clone(s.Refused), func(r Refusal) bool { return r.Credential.Equal(credential) })
	if s.Accepted.Equal(credential) {
		s.Accepted, others = Secret{}, nil
	}
	s.Refused = append(others, Refusal{Credential: credential, At: now})
	s.LastRefused = now
	return s
}

// Accept returns s after the device has accepted a credential.
func (s SignIns) Accept(credential Secret) SignIns {
	s.Accepted = credential
	s.Refused = slices.DeleteFunc(slices.Clone(s.Refused), func(r Refusal) bool { return r.Credential.Equal(credential) })
	return s
}

// Ordered returns s after the owner ordered another try: what was refused may be tried again, and the counter stays.
func (s SignIns) Ordered() SignIns {
	s.Refused = nil
	return s
}
