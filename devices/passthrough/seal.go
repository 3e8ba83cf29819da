package passthrough

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
)

// NewKey makes a key as devices take it: longer ones they do not. It guards a session against those who listen, not against who answers,
// and serves any number of devices: to make one takes a small machine a while.
func NewKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, fmt.Errorf("make a key for handshakes: %w", err)
	}
	return key, nil
}

// publicText is the public half in base64.
func publicText(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic("an RSA key: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(der)
}

// seal is what a session is sealed with. Every request and answer begins with the same IV, as devices have it.
type seal struct{ key, iv [aes.BlockSize]byte }

// openSeal opens what the device has sealed for this side: an AES key and an IV.
func openSeal(key *rsa.PrivateKey, sealed []byte) (*seal, error) {
	//lint:ignore SA1019 it is what devices seal with
	raw, err := rsa.DecryptPKCS1v15(nil, key, sealed)
	if err != nil || len(raw) != 2*aes.BlockSize {
		return nil, ErrOther
	}
	return &seal{[aes.BlockSize]byte(raw[:aes.BlockSize]), [aes.BlockSize]byte(raw[aes.BlockSize:])}, nil
}

func (s *seal) block() cipher.Block {
	b, err := aes.NewCipher(s.key[:])
	if err != nil {
		panic("a key of 16 bytes: " + err.Error())
	}
	return b
}

func (s *seal) encrypt(plain []byte) []byte {
	n := aes.BlockSize - len(plain)%aes.BlockSize
	out := slices.Concat(plain, bytes.Repeat([]byte{byte(n)}, n))
	cipher.NewCBCEncrypter(s.block(), s.iv[:]).CryptBlocks(out, out)
	return out
}

// decrypt opens an answer. Nobody learns more from how it fails than that it does.
func (s *seal) decrypt(sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, ErrOther
	}
	out := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(s.block(), s.iv[:]).CryptBlocks(out, sealed)
	n := int(out[len(out)-1])
	if n < 1 || n > aes.BlockSize || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrOther
	}
	return out[:len(out)-n], nil
}
