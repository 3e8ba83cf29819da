package sim

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/cbc"
)

// change gives the camera another password. That it is the plain one that is encrypted is a guess: sources disagree. A
// camera that gives no key of its own is sent the password under the vendor's, whose private half is not known here: of
// such a change it knows the hash. d.mu is held.
func (d *tapocam) change(params json.RawMessage) int {
	var p struct {
		Users struct {
			Change struct {
				Type       string `json:"encrypt_type"`
				Section    string `json:"secname"`
				New        string `json:"passwd"`
				Old        string `json:"old_passwd"`
				Ciphertext []byte `json:"ciphertext"`
				Username   string `json:"username"`
			} `json:"change_admin_password"`
		} `json:"user_management"`
	}
	if json.Unmarshal(params, &p) != nil {
		return camBadFormat
	}
	c := p.Users.Change
	switch {
	case c.Type != "3" || c.Section != "root" || c.Username != "admin":
		return camMissing
	case c.Old != d.password.hash:
		return camOldPassword
	}
	next := camPassword{hash: c.New}
	if d.spec.has(PEMKey) || d.spec.has(DERKey) {
		next = d.made(decrypted(c.Ciphertext))
		d.spec.opened.add([]byte(next.text.Reveal()))
	}
	if next.hash != c.New || len(c.New) != len(d.password.hash) || len(c.Ciphertext) < 128 {
		return camBadFormat
	}
	switch {
	case d.spec.has(Stubborn):
		return 0 // it reports it
	case d.spec.has(Reverting) && d.before.hash == "":
		d.before, d.since = d.password, 0
	}
	d.password = next
	if d.username == "" {
		d.username = "admin" // the e-mail address of its account was never sent to it
	}
	return 0
}

// decrypted returns what was encrypted with the key of all simulated devices, nothing where it was not.
func decrypted(ciphertext []byte) home.Secret {
	key, err := unitKey()
	if err != nil {
		return home.Secret{}
	}
	//lint:ignore SA1019 the vendor's app uses this padding
	plain, err := rsa.DecryptPKCS1v15(nil, key, ciphertext)
	if err != nil {
		return home.Secret{}
	}
	return home.SecretBytes(plain)
}

// keys are the two keys of a session.
func (s *camSession) keys() (lsk, ivb []byte) {
	k := upperSHA(s.cnonce, s.hash, s.nonce)
	derive := func(what string) []byte {
		sum := sha256.Sum256([]byte(what + s.cnonce + s.nonce + k))
		return sum[:16]
	}
	return derive("lsk"), derive("ivb")
}

func (s *camSession) seal(plain []byte) []byte {
	key, iv := s.keys()
	return cbc.Seal(key, iv, plain)
}

func (s *camSession) open(sealed []byte) ([]byte, bool) {
	key, iv := s.keys()
	return cbc.Open(key, iv, sealed)
}
