// Package klap is the transport of devices of 2020 and later: a handshake in which the device proves which credential it holds before
// anything is told to it, and encrypted requests over HTTP. Facts, with their sources and test vectors: devices/PROTOCOLS.md, section 7.
//
// One reply to the first handshake answers for any number of credentials, offline: Find tries them all, by the formulas of both versions,
// and spends no login.
package klap

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Version is which formulas a device uses.
type Version int

// V1 is that of the first IOT devices with KLAP, V2 that of SMART devices and of newer IOT ones. Reports of which device uses which
// conflict, so both are tried on each.
const (
	V1 Version = 1
	V2 Version = 2
)

const (
	seedSize = 16
	hashSize = 32
)

// auth is what a credential comes down to. It is as good as the password.
func (v Version) auth(username, password string) []byte {
	if v == V1 {
		u, p := md5.Sum([]byte(username)), md5.Sum([]byte(password))
		h := md5.Sum(append(u[:], p[:]...))
		return h[:]
	}
	u, p := sha1.Sum([]byte(username)), sha1.Sum([]byte(password))
	h := sha256.Sum256(append(u[:], p[:]...))
	return h[:]
}

// server is what a device that holds auth answers to local, with its own remote. Version 1 leaves remote out.
func (v Version) server(local, remote, auth []byte) []byte {
	if v == V1 {
		return sum(local, auth)
	}
	return sum(local, remote, auth)
}

// client is what the other end proves itself with.
func (v Version) client(local, remote, auth []byte) []byte {
	if v == V1 {
		return sum(remote, auth)
	}
	return sum(remote, local, auth)
}

func sum(parts ...[]byte) []byte {
	h := sha256.Sum256(slices.Concat(parts...))
	return h[:]
}

// Greeting is a device's answer to the first handshake.
type Greeting struct {
	local, remote, server []byte
	cookie                string
}

// Found is the key that a device holds, and by which formulas it said so.
type Found struct {
	Key     keyring.Key
	Version Version

	auth []byte
}

// Find returns the first of the keys that the device holds; ok is false when it is none of them.
func (g Greeting) Find(keys []keyring.Key) (Found, bool) {
	for _, k := range keys {
		for _, v := range [...]Version{V2, V1} {
			auth := v.auth(k.Username, k.Password.Reveal())
			if subtle.ConstantTimeCompare(v.server(g.local, g.remote, auth), g.server) == 1 {
				return Found{k, v, auth}, true
			}
		}
	}
	return Found{}, false
}

// keys are the one key that was found.
func (f Found) keys() []keyring.Key { return []keyring.Key{f.Key} }
