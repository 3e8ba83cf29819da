package tapocam

import (
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Vector is all that is computed of a sign-in.
type Vector struct {
	Hash, Confirm, Digest, Tag string
	LSK, IVB                   [16]byte
}

// VectorOf computes it.
func VectorOf(password, cnonce, nonce string, md5 bool, body string, seq int) Vector {
	f := bySHA256
	if md5 {
		f = byMD5
	}
	h := f(password)
	c := challenge{cnonce: cnonce, nonce: nonce}
	lsk, ivb, tag := c.keys(h)
	return Vector{h, upperSHA256(cnonce, h, nonce) + nonce + cnonce, c.digest(h), (&seal{lsk, ivb, tag}).tagOf(body, seq), lsk, ivb}
}

// Proven returns which of the passwords, by its place, a camera has shown to hold, or -1.
func Proven(cnonce, nonce, confirm string, passwords ...string) (int, bool) {
	var keys []keyring.Key
	for i, p := range passwords {
		keys = append(keys, keyring.Key{Password: home.NewSecret(p), Verdict: home.Verdict{Epoch: home.Epoch(i)}})
	}
	h, ok := challenge{cnonce, nonce, confirm}.match(keys)
	return int(h.key.Verdict.Epoch), ok
}

// Greeted reads the answer to a sign-in, and tells whether it is one, whether it locks, and whether it would have the camera signed in to.
func Greeted(status int, raw []byte) (ok, locked bool, stok, nonce string) {
	g, err := parseGreeting(post.Answer{Status: status, Body: raw}, "0001020304050607")
	_, locked = err.(lockedError)
	return err == nil, locked, g.stok, g.nonce
}

// Identified reads the answer to getDeviceInfo.
func Identified(raw []byte) (mac, model, name string, ok bool) {
	i, err := parseIdentity(raw)
	return i.mac, i.model, i.name, err == nil
}

// Opened opens what was sealed with zeros.
func Opened(sealed []byte) ([]byte, error) { return (&seal{}).decrypt(sealed) }

// Sealed seals with zeros.
func Sealed(plain []byte) []byte { return (&seal{}).encrypt(plain) }

// KeyRead tells whether a key is in the answer to scanApList.
func KeyRead(raw []byte) bool { k, err := parseKey(raw); return err == nil && k != nil }
