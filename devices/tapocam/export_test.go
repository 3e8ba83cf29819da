package tapocam

import (
	"errors"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Vector has every value that is computed in a sign-in.
type Vector struct {
	Hash, Confirm, Digest, Tag string
	LSK, IVB                   [16]byte
}

// VectorOf computes a Vector.
func VectorOf(password, cnonce, nonce string, md5 bool, body string, seq int) Vector {
	f := bySHA256
	if md5 {
		f = byMD5
	}
	h := hashOf(f, home.NewSecret(password))
	c := challenge{cnonce: cnonce, nonce: nonce}
	s := c.cipher(h)
	confirm := upperSHA256(cnonce, h.Reveal(), nonce) + nonce + cnonce
	return Vector{h.Reveal(), confirm, c.digest(h), s.sign(body, seq), s.key, s.iv}
}

// Match returns the place of the password that a camera has proved to hold.
func Match(cnonce, nonce, confirm string, passwords ...string) (int, bool) {
	var keys []keyring.Key
	for i, p := range passwords {
		keys = append(keys, keyring.Key{Password: home.NewSecret(p), Verdict: home.Verdict{Epoch: home.Epoch(i)}})
	}
	h, ok := challenge{cnonce, nonce, confirm}.match(keys)
	return int(h.key.Verdict.Epoch), ok
}

// ParseGreeting reads the answer to a sign-in: whether it is one, whether the camera is locked, its token and its
// nonce.
func ParseGreeting(status int, raw []byte) (ok, locked bool, stok, nonce string) {
	g, err := parseGreeting(post.Answer{Status: status, Body: raw}, "0001020304050607")
	_, locked = errors.AsType[failure.LockedError](err)
	return err == nil, locked, g.stok, g.nonce
}

// ParsePlate reads the answer to getDeviceInfo.
func ParsePlate(raw []byte) (nameplate.Plate, bool) {
	p, err := parsePlate(raw)
	return p, err == nil
}

// Decrypt decrypts with a key of zeros.
func Decrypt(sealed []byte) ([]byte, error) { return (&sessionCipher{}).decrypt(sealed) }

// Encrypt encrypts with a key of zeros.
func Encrypt(plain []byte) []byte { return (&sessionCipher{}).encrypt(plain) }
