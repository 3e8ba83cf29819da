// Package cbc is AES-128 in CBC mode (NIST SP 800-38A, 6.2) with the padding of PKCS #7 (RFC 5652, 6.3): the encryption
// of KLAP, of older SMART devices, of Tapo cameras and of discovery (devices/PROTOCOLS.md, sections 7 to 10). It proves
// nothing about who encrypted a message: that is up to the transport.
package cbc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"slices"
)

// Seal returns plain, padded and encrypted. Key and iv have 16 bytes each.
func Seal(key, iv, plain []byte) []byte {
	n := aes.BlockSize - len(plain)%aes.BlockSize
	out := slices.Concat(plain, bytes.Repeat([]byte{byte(n)}, n))
	cipher.NewCBCEncrypter(block(key), iv).CryptBlocks(out, out)
	return out
}

// Open returns the plain text of sealed. ok is false where it has no whole number of blocks, none at all, or another
// padding: the caller must not answer differently for each, or an attacker could decrypt by asking.
func Open(key, iv, sealed []byte) (plain []byte, ok bool) {
	if len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, false
	}
	out := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block(key), iv).CryptBlocks(out, sealed)
	n := int(out[len(out)-1])
	if n < 1 || n > aes.BlockSize || !bytes.HasSuffix(out, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, false
	}
	return out[:len(out)-n], true
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("a key of 16 bytes: " + err.Error())
	}
	return b
}
