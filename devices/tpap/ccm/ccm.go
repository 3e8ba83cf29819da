// Package ccm is AES in CCM mode: NIST SP 800-38C, RFC 3610. The standard library has GCM only; devices that speak
// TPAP use CCM (devices/PROTOCOLS.md, section 11.5).
package ccm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"
)

// ErrOpen is the error of Open for a message that was not sealed with the same key, nonce and additional data.
var ErrOpen = errors.New("ccm: message authentication failed")

// mode is a cipher.AEAD.
type mode struct {
	block      cipher.Block
	nonce, tag int
}

// New returns AES-CCM for nonces of nonceSize bytes (7 to 13) and tags of tagSize bytes (4 to 16, even). A message
// holds less than 2^(8*(15-nonceSize)) bytes.
func New(key []byte, nonceSize, tagSize int) (cipher.AEAD, error) {
	if nonceSize < 7 || nonceSize > 13 || tagSize < 4 || tagSize > 16 || tagSize%2 != 0 {
		return nil, errors.New("ccm: the standard has no such nonce or tag size")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &mode{block, nonceSize, tagSize}, nil
}

func (m *mode) NonceSize() int { return m.nonce }
func (m *mode) Overhead() int  { return m.tag }

// fits reports whether n bytes of plaintext have a length field; where int has 32 bits, every n has one of four
// bytes.
func (m *mode) fits(n int) bool {
	bits := 8 * (15 - m.nonce)
	return bits >= 63 || int64(n) < int64(1)<<bits
}

// Seal appends the ciphertext and its tag to dst. It panics on a nonce of another size and on a plaintext that is too
// long.
func (m *mode) Seal(dst, nonce, plaintext, additional []byte) []byte {
	if len(nonce) != m.nonce || !m.fits(len(plaintext)) {
		panic("ccm: wrong nonce size, or plaintext too long")
	}
	tag := m.mac(nonce, plaintext, additional)
	out := slices.Grow(dst, len(plaintext)+m.tag)[:len(dst)+len(plaintext)]
	stream, first := m.counter(nonce)
	stream.XORKeyStream(out[len(dst):], plaintext)
	subtle.XORBytes(tag[:], tag[:], first[:])
	return append(out, tag[:m.tag]...)
}

// Open appends the plaintext to dst, or returns ErrOpen.
func (m *mode) Open(dst, nonce, sealed, additional []byte) ([]byte, error) {
	n := len(sealed) - m.tag
	if len(nonce) != m.nonce || n < 0 || !m.fits(n) {
		return nil, ErrOpen
	}
	plain := make([]byte, n) // apart from dst: an unauthenticated plaintext never leaves
	stream, first := m.counter(nonce)
	stream.XORKeyStream(plain, sealed[:n])
	tag := m.mac(nonce, plain, additional)
	subtle.XORBytes(tag[:], tag[:], first[:])
	if subtle.ConstantTimeCompare(tag[:m.tag], sealed[n:]) != 1 {
		return nil, ErrOpen
	}
	return append(dst, plain...), nil
}

// counter returns the key stream from counter 1 on, and the block of counter 0, which covers the tag.
func (m *mode) counter(nonce []byte) (stream cipher.Stream, first [aes.BlockSize]byte) {
	var iv [aes.BlockSize]byte
	iv[0] = byte(14 - m.nonce) // L - 1
	copy(iv[1:], nonce)
	stream = cipher.NewCTR(m.block, iv[:])
	stream.XORKeyStream(first[:], first[:])
	return stream, first
}

// mac is the CBC-MAC of RFC 3610, section 2.2, before the key stream covers it.
func (m *mode) mac(nonce, plaintext, additional []byte) (sum [aes.BlockSize]byte) {
	b0 := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(b0[8:], uint64(len(plaintext)))
	copy(b0[1:], nonce)
	b0[0] = byte((m.tag-2)/2<<3 + (14 - m.nonce)) // M' and L' of the flags
	if len(additional) > 0 {
		b0[0] |= 1 << 6
	}
	m.blocks(&sum, b0)
	switch n := len(additional); {
	case n == 0:
	case n < 0xff00:
		m.blocks(&sum, append(binary.BigEndian.AppendUint16(nil, uint16(n)), additional...))
	default: // up to 2^32 bytes: more is never sealed here
		m.blocks(&sum, append(binary.BigEndian.AppendUint32([]byte{0xff, 0xfe}, uint32(n)), additional...))
	}
	m.blocks(&sum, plaintext)
	return sum
}

// blocks continues the CBC-MAC sum with data, padded with zeros to whole blocks.
func (m *mode) blocks(sum *[aes.BlockSize]byte, data []byte) {
	for len(data) > 0 {
		n := subtle.XORBytes(sum[:], sum[:], data[:min(len(data), aes.BlockSize)])
		m.block.Encrypt(sum[:], sum[:])
		data = data[n:]
	}
}
