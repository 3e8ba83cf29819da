package klap

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// session encrypts requests and decrypts their answers.
type session struct {
	key, iv, sig []byte
	seq          int32 // of the last request: signed, and it may be negative
}

func newSession(local, remote, auth []byte) *session {
	derive := func(label string) []byte { return sum([]byte(label), local, remote, auth) }
	iv := derive("iv")
	return &session{key: derive("lsk")[:16], iv: iv[:12], seq: int32(binary.BigEndian.Uint32(iv[28:])), sig: derive("ldk")[:28]}
}

// next seals a request under the next number.
func (s *session) next(request []byte) (seq int32, body []byte) {
	s.seq++ // wraps as the device's does
	pad := aes.BlockSize - len(request)%aes.BlockSize
	plain := slices.Concat(request, bytes.Repeat([]byte{byte(pad)}, pad))
	s.mode(cipher.NewCBCEncrypter).CryptBlocks(plain, plain)
	return s.seq, slices.Concat(s.sign(plain), plain)
}

var errAnswer = errors.New("its answer does not hold")

// open opens the answer to the last request.
func (s *session) open(body []byte) ([]byte, error) {
	if len(body) < hashSize+aes.BlockSize || (len(body)-hashSize)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnswer)
	}
	sealed := slices.Clone(body[hashSize:])
	if !bytes.Equal(s.sign(sealed), body[:hashSize]) {
		return nil, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnswer)
	}
	s.mode(cipher.NewCBCDecrypter).CryptBlocks(sealed, sealed)
	pad := int(sealed[len(sealed)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(sealed[len(sealed)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnswer)
	}
	return sealed[:len(sealed)-pad], nil
}

func (s *session) mode(f func(cipher.Block, []byte) cipher.BlockMode) cipher.BlockMode {
	block, err := aes.NewCipher(s.key)
	if err != nil {
		panic("klap: " + err.Error()) // the key is of 16 bytes
	}
	return f(block, binary.BigEndian.AppendUint32(slices.Clone(s.iv), uint32(s.seq)))
}

func (s *session) sign(sealed []byte) []byte {
	return sum(s.sig, binary.BigEndian.AppendUint32(nil, uint32(s.seq)), sealed)
}
