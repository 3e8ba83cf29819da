package klap

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/rekeyd/rekeyd/devices/cbc"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// sessionCipher encrypts the requests of one device session and decrypts their answers.
type sessionCipher struct {
	key, iv, sig []byte
	seq          int32 // of the last request: signed, and it may be negative
}

func newSessionCipher(local, remote, auth []byte) *sessionCipher {
	derive := func(label string) []byte { return sum([]byte(label), local, remote, auth) }
	iv := derive("iv")
	seq := int32(binary.BigEndian.Uint32(iv[28:]))
	return &sessionCipher{key: derive("lsk")[:16], iv: iv[:12], seq: seq, sig: derive("ldk")[:28]}
}

// seal encrypts a request under the next sequence number.
func (c *sessionCipher) seal(request []byte) (seq int32, body []byte) {
	c.seq++ // wraps as the device's does
	sealed := cbc.Seal(c.key, c.nonce(), request)
	return c.seq, slices.Concat(c.sign(sealed), sealed)
}

// open decrypts the answer to the last request. It returns home.ErrUnreachable.
func (c *sessionCipher) open(body []byte) ([]byte, error) {
	forged := failure.Unreachable(failure.ErrProtocol)
	if len(body) < hashSize || !bytes.Equal(c.sign(body[hashSize:]), body[:hashSize]) {
		return nil, forged
	}
	plain, ok := cbc.Open(c.key, c.nonce(), body[hashSize:])
	if !ok {
		return nil, forged
	}
	return plain, nil
}

// nonce is the initialization vector of the message with this sequence number.
func (c *sessionCipher) nonce() []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(c.iv), uint32(c.seq))
}

func (c *sessionCipher) sign(sealed []byte) []byte {
	return sum(c.sig, binary.BigEndian.AppendUint32(nil, uint32(c.seq)), sealed)
}
