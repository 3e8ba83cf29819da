package keyring

import (
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// Recipient is a device that is about to receive a password, or a hash that serves as one.
type Recipient struct {
	Device  home.Device
	Account home.Account
	Rank    home.ProofRank // what the device has proved in this conversation
}

// Release returns a secret in clear text, to be sent to the device. It is the only way by which a driver obtains one
// for the wire: a test holds that no driver reveals a secret elsewhere. It returns failure.ErrConsent where the device
// has proved nothing and the owner has not allowed passwords in the clear.
func (r Recipient) Release(s home.Secret) (string, error) {
	if r.Rank < home.ProvesFirst && !r.Account.CleartextBind {
		return "", failure.ErrConsent
	}
	return s.Reveal(), nil
}
