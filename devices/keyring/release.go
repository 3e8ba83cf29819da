package keyring

import "github.com/rekeyd/rekeyd/daemon/home"

// Recipient is a device that is about to receive a password, or a hash that serves as one.
type Recipient struct {
	Device   home.Device
	Terms    home.Terms
	Evidence home.Evidence // the device's proofs in this conversation
}

// Release returns a secret in clear text, to be sent to the device. It is the only way by which a driver obtains one
// for the wire: a test holds that no driver reveals a secret elsewhere. Errors are those of home.Terms.Permit.
func (r Recipient) Release(s home.Secret) (string, error) {
	if err := r.Terms.Permit(r.Evidence); err != nil {
		return "", err
	}
	return s.Reveal(), nil
}
