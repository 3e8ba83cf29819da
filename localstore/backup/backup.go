// Package backup seals the files of a hub's state into one file under a passphrase, and opens it again.
//
//	"rekeyd backup 1\n"
//	salt        16 bytes
//	time        uint32, memory uint32 in KiB: the parameters of argon2id
//	prefix      19 bytes
//	check       16 bytes, which only the right passphrase opens
//	chunks      64 KiB of the content each, the last one shorter, sealed with XChaCha20-Poly1305
//
// The nonce of a chunk is the prefix, the chunk's number (uint32), and 1 for the last chunk (else 0). So chunks cannot
// be exchanged, repeated, or left out at the end. All that is before the chunks is authenticated with each of them.
package backup

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Content is the content of a backup.
type Content struct {
	Database []byte `json:"database"` // rekeyd.db
	Key      []byte `json:"key"`      // vault.key

	Account    []byte `json:"account,omitempty"`     // account.db of the account service in the same state; empty for none
	AccountKey []byte `json:"account_key,omitempty"` // account.key
}

const (
	magic      = "rekeyd backup 1\n"
	saltSize   = 16
	prefixSize = chacha20poly1305.NonceSizeX - 5
	headSize   = len(magic) + saltSize + 8 + prefixSize
	chunkSize  = 64 << 10

	checkNumber = 1<<32 - 1 // in the nonce of the check

	argonTime   = 3
	argonMemory = 32 << 10 // KiB: what a router can spare for a second
)

// Seal returns the backup of c under a passphrase.
func Seal(c Content, passphrase home.Secret) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	out := make([]byte, headSize, headSize+len(plain)+(len(plain)/chunkSize+1)*chacha20poly1305.Overhead)
	copy(out, magic)
	_, _ = rand.Read(out[len(magic):]) // never fails (crypto/rand)
	binary.BigEndian.PutUint32(out[len(magic)+saltSize:], argonTime)
	binary.BigEndian.PutUint32(out[len(magic)+saltSize+4:], argonMemory)
	head := bytes.Clone(out)
	aead, err := aeadOf(head, passphrase)
	if err != nil {
		return nil, err
	}
	out = aead.Seal(out, nonce(head, checkNumber, true), nil, head)
	for n := uint32(0); ; n++ {
		chunk := plain[:min(chunkSize, len(plain))]
		plain = plain[len(chunk):]
		out = aead.Seal(out, nonce(head, n, len(plain) == 0), chunk, head)
		if len(plain) == 0 {
			return out, nil
		}
	}
}

// ErrPassphrase is the error of Open with another passphrase.
var ErrPassphrase = errors.New("it was made with another passphrase, or its beginning is damaged")

// Open returns the content of a backup. Another passphrase is ErrPassphrase, and a file that is none, or is damaged,
// is home.ErrCorrupt.
func Open(raw []byte, passphrase home.Secret) (c Content, err error) {
	if len(raw) < headSize+2*chacha20poly1305.Overhead || !bytes.HasPrefix(raw, []byte(magic)) {
		return c, fmt.Errorf("%w: it is no backup of rekeyd", home.ErrCorrupt)
	}
	head, rest := raw[:headSize], raw[headSize:]
	aead, err := aeadOf(head, passphrase)
	if err != nil {
		return c, err
	}
	check := rest[:chacha20poly1305.Overhead]
	if _, err := aead.Open(nil, nonce(head, checkNumber, true), check, head); err != nil {
		return c, ErrPassphrase
	}
	rest = rest[len(check):]
	plain := make([]byte, 0, len(rest))
	for n := uint32(0); len(rest) > 0; n++ {
		box := rest[:min(chunkSize+chacha20poly1305.Overhead, len(rest))]
		rest = rest[len(box):]
		plain, err = aead.Open(plain, nonce(head, n, len(rest) == 0), box, head)
		if err != nil {
			return c, fmt.Errorf("%w: the passphrase is right, and part %d is damaged or missing", home.ErrCorrupt, n)
		}
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("%w: %w", home.ErrCorrupt, err)
	}
	return c, nil
}

// aeadOf derives the key that the head of a backup describes.
func aeadOf(head []byte, passphrase home.Secret) (cipher.AEAD, error) {
	if passphrase.IsZero() {
		return nil, errors.New("a backup needs a passphrase")
	}
	p := head[len(magic)+saltSize:]
	time, memory := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	if time < 1 || time > 64 || memory < 8 || memory > 256<<10 {
		return nil, fmt.Errorf("%w: its head is damaged", home.ErrCorrupt)
	}
	salt := head[len(magic) : len(magic)+saltSize]
	return chacha20poly1305.NewX(argon2.IDKey(
		[]byte(passphrase.Reveal()), salt, time, memory, 1, chacha20poly1305.KeySize,
	))
}

// nonce returns the nonce of chunk n.
func nonce(head []byte, n uint32, last bool) []byte {
	out := binary.BigEndian.AppendUint32(bytes.Clone(head[headSize-prefixSize:]), n)
	if last {
		return append(out, 1)
	}
	return append(out, 0)
}
