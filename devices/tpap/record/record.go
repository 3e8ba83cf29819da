// Package record seals the messages of a TPAP session: AES-128-CCM under keys derived from the shared key of the
// sign-in (devices/PROTOCOLS.md, section 11.5).
//
// Devices answer under the key and the nonce of the request. Over plain HTTP a listener who guesses the answer can
// therefore read the request at the same offsets. A request with a secret has it behind the longest answer that is
// expected.
package record

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/rekeyd/rekeyd/devices/tpap/ccm"
)

const (
	seqSize = 4
	tagSize = 16
	nonce   = 12
)

// Overhead is how much longer a record is than its message.
const Overhead = seqSize + tagSize

// ErrOpen is the error for bytes that are no record of the session with that sequence number.
var ErrOpen = errors.New("record: not of this session")

// Cipher seals and opens records of one session.
type Cipher struct {
	aead cipher.AEAD
	base []byte // first bytes of every nonce
}

// New returns the cipher of the session with the shared key.
func New(shared []byte) Cipher {
	aead, err := ccm.New(derive(shared, "key", 16), nonce, tagSize)
	if err != nil {
		panic("a key of 16 bytes: " + err.Error())
	}
	return Cipher{aead, derive(shared, "iv", nonce)[:nonce-seqSize]}
}

func derive(shared []byte, what string, size int) []byte {
	out, err := hkdf.Key(sha256.New, shared, []byte("tp-kdf-salt-aes128-"+what), "tp-kdf-info-aes128-"+what, size)
	if err != nil {
		panic("hkdf of at most 16 bytes: " + err.Error())
	}
	return out
}

// Seal returns the record of a message. Who sends requests never uses a sequence number twice.
func (c Cipher) Seal(seq uint32, message []byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, len(message)+Overhead), seq)
	return c.aead.Seal(out, append(slices.Clip(c.base), out...), message, nil)
}

// Open returns the message of a record, which must have the sequence number seq.
func (c Cipher) Open(seq uint32, record []byte) ([]byte, error) {
	n := binary.BigEndian.AppendUint32(slices.Clip(c.base), seq)
	if !bytes.HasPrefix(record, n[len(c.base):]) {
		return nil, ErrOpen
	}
	message, err := c.aead.Open(nil, n, record[seqSize:], nil)
	if err != nil {
		return nil, ErrOpen
	}
	return message, nil
}

// Seq returns the sequence number of a record; ok is false for bytes too short to be one.
func Seq(record []byte) (seq uint32, ok bool) {
	if len(record) < Overhead {
		return 0, false
	}
	return binary.BigEndian.Uint32(record), true
}
