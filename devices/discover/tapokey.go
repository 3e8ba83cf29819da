package discover

import (
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"sync"

	"github.com/rekeyd/rekeyd/devices/cbc"
)

// probeKey is the key under which cameras hide what not everybody is to read. It protects nothing: each client gives a
// key of their own.
type probeKey struct {
	once sync.Once

	mu     sync.Mutex // guards the fields below
	key    *rsa.PrivateKey
	pem    string
	opened map[string][]byte // what was opened, by its sealed key: cameras answer every sweep with the same
}

const keyBits = 2048 // what devices expect

// make makes the key, which takes a router some seconds.
func (k *probeKey) make() {
	k.once.Do(func() {
		key, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.key, k.pem = key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	})
}

// public is the key as it goes into a question; empty while there is none.
func (k *probeKey) public() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pem
}

// hidden is what a camera hides: the key of a cipher and its first block, sealed to ours, and what is sealed with that.
type hidden struct {
	Key  []byte `json:"key"`
	Data []byte `json:"data"`
}

var errHidden = errors.New("not hidden under this key")

// manyOpened bounds the table of opened keys.
const manyOpened = 1024

// open returns what a camera has hidden.
func (k *probeKey) open(h hidden) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil || len(h.Key) != keyBits/8 {
		return nil, errHidden
	}
	secret, known := k.opened[string(h.Key)]
	if !known {
		var err error
		if secret, err = rsa.DecryptOAEP(sha1.New(), nil, k.key, h.Key, nil); err != nil {
			return nil, errHidden
		}
		if len(k.opened) >= manyOpened || k.opened == nil {
			k.opened = map[string][]byte{}
		}
		k.opened[string(h.Key)] = secret
	}
	if len(secret) != 2*aes.BlockSize {
		return nil, errHidden
	}
	plain, ok := cbc.Open(secret[:aes.BlockSize], secret[aes.BlockSize:], h.Data)
	if !ok {
		return nil, errHidden
	}
	return plain, nil
}
