// Package klap is the transport of devices of 2020 and later: a handshake in which the device proves which credential
// it holds before it receives anything secret, and encrypted requests over HTTP. Facts, sources and test vectors:
// devices/PROTOCOLS.md, section 7.
//
// One answer to the first handshake is compared with any number of credentials offline, by the formulas of both
// versions: Match spends no sign-in.
package klap

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Version selects the formulas of a device.
type Version int

// V1 is that of the first IOT devices with KLAP, V2 that of SMART devices and of newer IOT ones. Reports which device
// uses which conflict, so both are compared.
const (
	V1 Version = 1
	V2 Version = 2
)

const (
	seedSize = 16
	hashSize = 32
)

// authHash returns the hash of a credential that all other values derive from. It is as good as the password.
func (v Version) authHash(username, password string) []byte {
	if v == V1 {
		u, p := md5.Sum([]byte(username)), md5.Sum([]byte(password))
		h := md5.Sum(append(u[:], p[:]...))
		return h[:]
	}
	u, p := sha1.Sum([]byte(username)), sha1.Sum([]byte(password))
	h := sha256.Sum256(append(u[:], p[:]...))
	return h[:]
}

// deviceHash is the answer of a device that holds auth to the seed local, with its own seed remote. Version 1 leaves
// remote out.
func (v Version) deviceHash(local, remote, auth []byte) []byte {
	if v == V1 {
		return sum(local, auth)
	}
	return sum(local, remote, auth)
}

// clientHash is this side's proof.
func (v Version) clientHash(local, remote, auth []byte) []byte {
	if v == V1 {
		return sum(remote, auth)
	}
	return sum(remote, local, auth)
}

func sum(parts ...[]byte) []byte {
	h := sha256.Sum256(slices.Concat(parts...))
	return h[:]
}

// Proof is a device's answer to the first handshake: it proves which credential the device holds.
type Proof struct {
	local, remote, hash []byte
	cookie              string
}

// Held is a key that a device has proved to hold, and the version of the proof.
type Held struct {
	Key     keyring.Key
	Version Version

	auth []byte
}

// Match returns the first of the keys that the device holds; ok is false when it holds none of them.
func (p Proof) Match(keys []keyring.Key) (held Held, ok bool) {
	for _, k := range keys {
		for _, v := range [...]Version{V2, V1} {
			auth := v.authHash(k.Username, k.Password.Reveal())
			if subtle.ConstantTimeCompare(v.deviceHash(p.local, p.remote, auth), p.hash) == 1 {
				return Held{k, v, auth}, true
			}
		}
	}
	return Held{}, false
}
