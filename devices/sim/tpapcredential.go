package sim

import (
	"crypto/hkdf"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/tpap/shacrypt"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

func (d *tpap) iterations() int {
	if d.spec.Kind == home.Camera {
		return 5000
	}
	return 3000
}

// verify returns the verifier of the device's credential, a new one after every change; d.mu is held.
func (d *tpap) verify() (verifier, error) {
	username, password := d.unit.holds()
	of := pair{username, password}
	if d.verifier.salt != nil && d.verifier.of == of {
		return d.verifier, nil
	}
	salt := randomBytes(16)
	credential, err := d.credential(of, salt)
	if err != nil {
		return verifier{}, err
	}
	s, err := spake2.Stretch(credential, salt, d.iterations())
	if err != nil {
		return verifier{}, err
	}
	d.verifier = verifier{of, salt, s.Verifier()}
	return d.verifier, nil
}

// prefix is the part of sha256-crypt that a device names. A salt of a real one has a "+" in it, which is no character
// of crypt's.
func prefix(salt []byte) string { return "$5$" + hex.EncodeToString(salt)[:15] + "+$" }

// extraCrypt is the device's statement how a password is hashed, nil where it makes none.
func (d *tpap) extraCrypt(salt []byte) map[string]any {
	shadow := map[string]any{"passwd_id": 2}
	switch {
	case d.spec.has(Crypt):
		shadow = map[string]any{"passwd_id": 5, "passwd_prefix": prefix(salt)}
	case d.spec.has(Unhashed), d.spec.Kind == home.Camera:
		return nil
	}
	return map[string]any{"type": "password_shadow", "params": shadow}
}

// credential is the form in which this firmware stores its password: section 11.4.
func (d *tpap) credential(of pair, salt []byte) (string, error) {
	password := of.password.Reveal()
	switch {
	case of.username == "":
		return passcode(d.mac), nil
	case d.spec.has(Crypt):
		text := strings.TrimSuffix(strings.TrimPrefix(prefix(salt), "$5$"), "$")
		return shacrypt.Hash([]byte(upperSHA(password)), []byte(text), 0)
	case d.spec.has(Unhashed):
		return of.username + "/" + password, nil
	case d.spec.Kind == home.Camera:
		sum := md5.Sum([]byte(password))
		return hex.EncodeToString(sum[:]), nil
	}
	sum := sha1.Sum([]byte(password))
	return hex.EncodeToString(sum[:]), nil
}

// passcode is that of a device without an owner. It is derived from the hardware address alone.
func passcode(mac net.HardwareAddr) string {
	secret := append([]byte("GqY5o136oa4i6VprTlMW2DpVXxmfW8"), mac[3], mac[4], mac[5], mac[0], mac[1], mac[2])
	key, err := hkdf.Key(sha256.New, secret, []byte("tp-kdf-salt-default-passcode"), "tp-kdf-info-default-passcode", 32)
	if err != nil {
		panic("hkdf of 32 bytes: " + err.Error())
	}
	return strings.ToUpper(hex.EncodeToString(key))
}
