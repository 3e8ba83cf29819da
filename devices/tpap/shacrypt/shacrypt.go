// Package shacrypt is sha256-crypt, the password hash "$5$" of Unix systems: Drepper, "Unix crypt using SHA-256 and
// SHA-512", version 0.6. Some cameras want it of a password's hash (devices/PROTOCOLS.md, section 11.4).
package shacrypt

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
)

// DefaultRounds is how often the hash is repeated where no number is given. It is not written into the result.
const DefaultRounds = 5000

// MaxRounds bounds the work that a device can demand: about 50 ms. The specification has 999,999,999.
const MaxRounds = 100_000

// minRounds and maxSalt are those of the specification. A longer salt is cut.
const (
	minRounds = 1000
	maxSalt   = 16
)

// Hash returns the text "$5$salt$hash" of a key. The salt may hold any byte but "$"; rounds is DefaultRounds when 0.
func Hash(key, salt []byte, rounds int) (string, error) {
	if rounds == 0 {
		rounds = DefaultRounds
	}
	if rounds < minRounds || rounds > MaxRounds {
		return "", fmt.Errorf("sha256-crypt: %d rounds: want %d to %d", rounds, minRounds, MaxRounds)
	}
	if bytes.IndexByte(salt, '$') >= 0 {
		return "", fmt.Errorf("sha256-crypt: a salt has no %q", "$")
	}
	salt = salt[:min(len(salt), maxSalt)]
	sum := start(key, salt)
	p := stretch(digest(slices.Repeat([][]byte{key}, len(key))...), len(key))
	s := stretch(digest(slices.Repeat([][]byte{salt}, 16+int(sum[0]))...), len(salt))
	h := sha256.New()
	for i := range rounds {
		sum = round(h, i, sum, p, s)
	}
	named := ""
	if rounds != DefaultRounds {
		named = fmt.Sprintf("rounds=%d$", rounds)
	}
	return fmt.Sprintf("$5$%s%s$%s", named, salt, encode(sum)), nil
}

// start is digest A of the specification, steps 1 to 12.
func start(key, salt []byte) []byte {
	b := digest(key, salt, key)
	parts := [][]byte{key, salt, stretch(b, len(key))}
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			parts = append(parts, b)
		} else {
			parts = append(parts, key)
		}
	}
	return digest(parts...)
}

// round is step 21 of the specification.
func round(h hash.Hash, i int, sum, p, s []byte) []byte {
	first, last := sum, p
	if i%2 != 0 {
		first, last = p, sum
	}
	h.Reset()
	h.Write(first)
	if i%3 != 0 {
		h.Write(s)
	}
	if i%7 != 0 {
		h.Write(p)
	}
	h.Write(last)
	return h.Sum(nil)
}

func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// stretch repeats a digest to n bytes.
func stretch(digest []byte, n int) []byte {
	return bytes.Repeat(digest, n/len(digest)+1)[:n]
}

// encode is the base 64 of crypt: groups of three bytes, in an order of their own, the low six bits first.
func encode(sum []byte) string {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out []byte
	group := func(v uint32, n int) {
		for range n {
			out = append(out, alphabet[v&63])
			v >>= 6
		}
	}
	a, b, c := 0, 10, 20
	for range 10 {
		group(uint32(sum[a])<<16|uint32(sum[b])<<8|uint32(sum[c]), 4)
		a, b, c = c+1, a+1, b+1
	}
	group(uint32(sum[31])<<8|uint32(sum[30]), 3)
	return string(out)
}
