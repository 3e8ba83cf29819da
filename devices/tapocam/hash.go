package tapocam

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func upperSHA256(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "")))
	return upperHex(sum[:])
}

func upperMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return upperHex(sum[:])
}

// hasher is what a firmware makes of a password. Which one it does, it does not say: devices/PROTOCOLS.md, section 10.
type hasher func(password string) string

var (
	bySHA256 hasher = func(pw string) string { return upperSHA256(pw) }
	byMD5    hasher = upperMD5
)

// challenge is a sign-in that a camera has answered, with a proof of what it holds.
type challenge struct{ cnonce, nonce, confirm string }

// proves tells whether the camera has shown that it holds a password of which h is the hash.
func (c challenge) proves(h string) bool {
	want := upperSHA256(c.cnonce, h, c.nonce) + c.nonce + c.cnonce
	return subtle.ConstantTimeCompare([]byte(want), []byte(c.confirm)) == 1
}

// digest proves to the camera that this side knows it, too.
func (c challenge) digest(h string) string {
	return upperSHA256(h, c.cnonce, c.nonce) + c.cnonce + c.nonce
}

// held is a credential that a camera was shown to hold.
type held struct {
	key    keyring.Key
	hasher hasher
	hash   home.Secret // as good as the password
}

// match returns which of the keys the camera holds. It asks nobody.
func (c challenge) match(keys []keyring.Key) (held, bool) {
	for _, k := range keys {
		for _, f := range []hasher{bySHA256, byMD5} {
			if h := f(k.Password.Reveal()); c.proves(h) {
				return held{k, f, home.NewSecret(h)}, true
			}
		}
	}
	return held{}, false
}

// keys returns what seals a session, and the first half of what its tags are made of.
func (c challenge) keys(h string) (lsk, ivb [16]byte, tag string) {
	k := upperSHA256(c.cnonce, h, c.nonce)
	derive := func(what string) (out [16]byte) {
		sum := sha256.Sum256([]byte(what + c.cnonce + c.nonce + k))
		copy(out[:], sum[:])
		return out
	}
	return derive("lsk"), derive("ivb"), upperSHA256(h, c.cnonce)
}
