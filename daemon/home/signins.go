package home

import "time"

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

// Ordered returns s after the owner ordered another try: what was refused may be tried again, and the counter stays.
func (s SignIns) Ordered() SignIns {
	s.Refused = nil
	return s
}
