package wire

import (
	"encoding/base64"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Login returns the password with which the member connects to the embedded broker; its name is the user name. It is the
// member's public keys and a signature, so the broker needs to know nobody beforehand. It is as static as any MQTT password,
// and lets its bearer carry messages, not sign them.
func (id *Identity) Login() home.Secret {
	b := append(append([]byte{}, id.Keys.Sign...), id.Keys.Seal...)
	b = append(b, id.Signature(Encode("rekeyd/v1/mqtt", id.Name))...)
	return home.NewSecret(base64.RawURLEncoding.EncodeToString(b))
}

// CheckLogin tells whether password is name's; it returns home.ErrForged.
func CheckLogin(name, password string) error {
	b, err := base64.RawURLEncoding.DecodeString(password)
	if err != nil || len(b) != 32+32+64 {
		return fmt.Errorf("login of %s: %w", clip(name), home.ErrForged)
	}
	k := Keys{Sign: b[:32], Seal: b[32:64]}
	if !k.Is(name) || k.Verify(Encode("rekeyd/v1/mqtt", name), b[64:]) != nil {
		return fmt.Errorf("login of %s: %w", clip(name), home.ErrForged)
	}
	return nil
}
