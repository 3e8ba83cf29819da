package klap

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"

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
	pad := aes.BlockSize - len(request)%aes.BlockSize
	plain := slices.Concat(request, bytes.Repeat([]byte{byte(pad)}, pad))
	c.mode(cipher.NewCBCEncrypter).CryptBlocks(plain, plain)
	return c.seq, slices.Concat(c.sign(plain), plain)
}

// open decrypts the answer to the last request. It returns home.ErrUnreachable.
func (c *sessionCipher) open(body []byte) ([]byte, error) {
	forged := failure.Unreachable(failure.ErrProtocol)
	if len(body) < hashSize+aes.BlockSize || (len(body)-hashSize)%aes.BlockSize != 0 {
		return nil, forged
	}
	plain := slices.Clone(body[hashSize:])
	if !bytes.Equal(c.sign(plain), body[:hashSize]) {
		return nil, forged
	}
	c.mode(cipher.NewCBCDecrypter).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, forged
	}
	return plain[:len(plain)-pad], nil
}

func (c *sessionCipher) mode(f func(cipher.Block, []byte) cipher.BlockMode) cipher.BlockMode {
	block, err := aes.NewCipher(c.key)
	if err != nil {
		panic("klap: " + err.Error()) // the key has 16 bytes
	}
	return f(block, binary.BigEndian.AppendUint32(slices.Clone(c.iv), uint32(c.seq)))
}

func (c *sessionCipher) sign(sealed []byte) []byte {
	return sum(c.sig, binary.BigEndian.AppendUint32(nil, uint32(c.seq)), sealed)
}
