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

// hasher is the hash that a firmware makes of a password. A camera does not state which one it uses:
// devices/PROTOCOLS.md, section 10.1.
type hasher func(password string) string

var (
	bySHA256 hasher = func(pw string) string { return upperSHA256(pw) }
	byMD5    hasher = upperMD5
)

// hashOf returns the hash of a password. It is as good as the password.
func hashOf(f hasher, password home.Secret) home.Secret { return home.NewSecret(f(password.Reveal())) }

// challenge is a camera's answer to the begin of a sign-in, with a proof of the password that it holds.
type challenge struct{ cnonce, nonce, confirm string }

// provedBy reports whether the camera has proved that it holds the password with that hash.
func (c challenge) provedBy(hash home.Secret) bool {
	want := upperSHA256(c.cnonce, hash.Reveal(), c.nonce) + c.nonce + c.cnonce
	return subtle.ConstantTimeCompare([]byte(want), []byte(c.confirm)) == 1
}

// digest is this side's proof. It reveals the hash only to a reader who knows it already.
func (c challenge) digest(hash home.Secret) string {
	return upperSHA256(hash.Reveal(), c.cnonce, c.nonce) + c.cnonce + c.nonce
}

// held is a password that a camera holds.
type held struct {
	key    keyring.Key
	hasher hasher
	hash   home.Secret
}

// match returns the key that the camera has proved to hold.
func (c challenge) match(keys []keyring.Key) (held, bool) {
	for _, k := range keys {
		for _, f := range []hasher{bySHA256, byMD5} {
			if h := hashOf(f, k.Password); c.provedBy(h) {
				return held{k, f, h}, true
			}
		}
	}
	return held{}, false
}

// cipher returns the cipher of the session that follows.
func (c challenge) cipher(hash home.Secret) *sessionCipher {
	k := upperSHA256(c.cnonce, hash.Reveal(), c.nonce)
	derive := func(label string) (out [16]byte) {
		sum := sha256.Sum256([]byte(label + c.cnonce + c.nonce + k))
		copy(out[:], sum[:])
		return out
	}
	return &sessionCipher{derive("lsk"), derive("ivb"), upperSHA256(hash.Reveal(), c.cnonce)}
}
