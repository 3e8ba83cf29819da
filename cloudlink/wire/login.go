package wire

import (
	"encoding/json"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// login is the payload of the JWS that a member shows to the embedded broker.
type login struct {
	Name string `json:"name"`
	Sign []byte `json:"sign"`
}

// Login returns the password with which the member connects to the embedded broker; its name is the user name. The
// password carries the public key that gives the name, so the broker needs no list of members. It is as static
// as any MQTT password, and lets its bearer carry messages, not sign them.
func (id *Identity) Login() home.Secret {
	payload, _ := json.Marshal(login{id.Name, id.Keys.Sign}) // cannot fail
	return home.NewSecret(string(id.signJWS(useLogin, payload)))
}

// maxLogin is the size of the longest login that is read, in bytes.
const maxLogin = 1 << 10

// CheckLogin checks that password is the login of name; it returns home.ErrForged.
func CheckLogin(name, password string) error {
	forged := fmt.Errorf("login of %s: %w", clip(name), home.ErrForged)
	if len(password) > maxLogin {
		return forged
	}
	j, err := parseJWS([]byte(password))
	var l login
	if err != nil || j.use != useLogin || json.Unmarshal(j.payload, &l) != nil {
		return forged
	}
	if k := (Keys{Sign: l.Sign}); l.Name != name || !k.Is(name) || j.verify(k.Sign) != nil {
		return forged
	}
	return nil
}
