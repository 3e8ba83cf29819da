package home

import "time"

// House is the content of the store that concerns the devices, read in one transaction.
type House struct {
	Account  Account // zero before the hub has enrolled
	Bindings []Binding
	Devices  []Device // the bound ones, as they were last recorded
	Intents  []Intent
	LeftOut  []string // hardware keys of devices that the owner unbound
}

// Subject is what the engine needs to probe or move one device, read in one transaction.
type Subject struct {
	Account     Account      // zero before the hub has enrolled
	Credentials []Credential // in the order of trial: newest first, except after a crash (see Intent)
	Binding     Binding      // zero where the device is not bound

	DevicePassword Secret // see Candidates
	Accepted       bool   // see Candidates
}

// Bound reports whether the device is bound.
func (s Subject) Bound() bool { return s.Binding.Device != "" }

// Candidates returns what a probe may find the device to hold. A driver whose protocol never proves anything receives
// no credentials without the owner's consent.
func (s Subject) Candidates(d Device, now time.Time) Candidates {
	c := Candidates{
		Account: s.Account, Credentials: s.Credentials, Recorded: s.Binding.DeviceEpoch,
		Terms: s.Binding.Terms(s.Account, d, now), Accepted: s.Accepted,
	}
	if d.Protocol.Info().OwnLogin {
		c.DevicePassword = s.DevicePassword
	}
	if d.Protocol.Info().Rank < ProvesFirst && !(c.Terms.Bound && c.Terms.Cleartext) {
		c.Credentials = nil
	}
	return c
}
