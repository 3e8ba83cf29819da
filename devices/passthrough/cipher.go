package passthrough

import (
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/rekeyd/rekeyd/devices/cbc"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// NewKey makes a key of the size that devices accept: longer ones they refuse. It protects a session against listeners
// and not against whatever answers, and serves any number of devices: making one takes a small machine a while.
func NewKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, fmt.Errorf("make a key for handshakes: %w", err)
	}
	return key, nil
}

// publicText returns the public half in base64.
func publicText(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic("an RSA key: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(der)
}

// sessionCipher encrypts the requests of one device session. Every request and answer begins with the same IV, as
// devices do it.
type sessionCipher struct{ key, iv [aes.BlockSize]byte }

// openSessionKey decrypts the AES key and the IV that the device has encrypted for this side.
func openSessionKey(key *rsa.PrivateKey, sealed []byte) (*sessionCipher, error) {
	//lint:ignore SA1019 devices use this padding
	raw, err := rsa.DecryptPKCS1v15(nil, key, sealed)
	if err != nil || len(raw) != 2*aes.BlockSize {
		return nil, failure.ErrProtocol
	}
	return &sessionCipher{[aes.BlockSize]byte(raw[:aes.BlockSize]), [aes.BlockSize]byte(raw[aes.BlockSize:])}, nil
}

func (c *sessionCipher) encrypt(plain []byte) []byte { return cbc.Seal(c.key[:], c.iv[:], plain) }

// decrypt opens an answer. Its one error does not reveal why it failed.
func (c *sessionCipher) decrypt(sealed []byte) ([]byte, error) {
	plain, ok := cbc.Open(c.key[:], c.iv[:], sealed)
	if !ok {
		return nil, failure.ErrProtocol
	}
	return plain, nil
}
