// Package seal keeps secrets on disk sealed with XChaCha20-Poly1305. The key comes from a key file beside the data,
// from a systemd credential, or from a passphrase by argon2id.
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// Key seals and opens. It is never printed. It holds a function, since in an unexported field of another struct its
// own methods are not asked: then an address shows, and not the secret.
type Key struct{ aead func() cipher.AEAD }

// String keeps the key from being printed.
func (Key) String() string { return "[redacted]" }

// GoString keeps the key from being printed.
func (Key) GoString() string { return "[redacted]" }

const keySize = chacha20poly1305.KeySize

// New returns the key of 32 secret bytes.
func New(secret []byte) (Key, error) {
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return Key{}, fmt.Errorf("seal: a key of %d bytes, want %d", len(secret), keySize)
	}
	return Key{func() cipher.AEAD { return aead }}, nil
}

// Seal seals plain. context names the place where it is kept, so that no box can stand in another's place.
func (k Key) Seal(plain []byte, context string) []byte {
	aead := k.aead()
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return aead.Seal(nonce, nonce, plain, []byte(context))
}

// Open opens what Seal sealed for the same context; it returns home.ErrNewKey where the key is another, or the box is
// damaged.
func (k Key) Open(box []byte, context string) ([]byte, error) {
	aead := k.aead()
	n := aead.NonceSize()
	if len(box) < n {
		return nil, fmt.Errorf("open a sealed box: %w", home.ErrNewKey)
	}
	plain, err := aead.Open(nil, box[:n], box[n:], []byte(context))
	if err != nil {
		return nil, fmt.Errorf("open a sealed box: %w", home.ErrNewKey)
	}
	return plain, nil
}

// Credential is the name of the systemd credential that holds the key: any 32 bytes or more.
const Credential = "rekeyd-vault"

// Source is where a key comes from.
type Source struct {
	File       string      // the key file; made with a random key where it is missing and the data is new
	Passphrase home.Secret // used instead, where given; File then holds salt and parameters, and no secret
}

// keyFile is what the key file holds: the key itself, or how to make it of a passphrase.
type keyFile struct {
	Key    []byte `json:"key,omitempty"`
	Salt   []byte `json:"salt,omitempty"`
	Time   uint32 `json:"time,omitempty"`
	Memory uint32 `json:"memory,omitempty"` // KiB
}

// Load returns the key. fresh means that there is no data yet that another key could have sealed: only then is a key
// made. A key that is missing or wrong is home.ErrNewKey in a home.Error with a hint.
func (s Source) Load(fresh bool) (Key, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && s.Passphrase.IsZero() {
		path := filepath.Join(dir, Credential)
		raw, err := os.ReadFile(path)
		if err == nil && len(raw) < keySize {
			err := fmt.Errorf("it holds fewer than %d bytes", keySize)
			return Key{}, credentialFailed(path, err, "put the key back into the file that LoadCredential= of the unit names")
		}
		if err == nil {
			sum := sha256.Sum256(raw)
			return New(sum[:])
		}
		if !errors.Is(err, fs.ErrNotExist) { // never another key instead of one that cannot be read
			return Key{}, credentialFailed(path, err, "see that this user may read it: run this as root, or as the unit does")
		}
	}
	raw, err := os.ReadFile(s.File)
	switch {
	case errors.Is(err, fs.ErrNotExist) && fresh:
		return s.create()
	case errors.Is(err, fs.ErrNotExist):
		return Key{}, &home.Error{
			Op: "open the vault", Err: fmt.Errorf("%w: %s is missing", home.ErrNewKey, s.File),
			Hint: "put the key file back, from the backup in which the data is; if systemd keeps the key, run this as root " +
				"with CREDENTIALS_DIRECTORY=/etc/rekeyd",
		}
	case err != nil:
		return Key{}, &home.Error{Op: "open the vault", Err: err, Hint: "see that this user may read " + s.File}
	}
	var f keyFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return Key{}, s.failed(errors.New("it is malformed"))
	}
	return s.key(f)
}

// credentialFailed is the error of a systemd credential.
func credentialFailed(path string, err error, hint string) error {
	return &home.Error{
		Op: "read the vault's key from the systemd credential " + path, Err: fmt.Errorf("%w: %w", home.ErrNewKey, err),
		Hint: hint,
	}
}

// failed is the error of a key file that cannot be used.
func (s Source) failed(err error) error {
	return &home.Error{
		Op:   "read the vault's key from " + s.File,
		Err:  fmt.Errorf("%w: %w", home.ErrNewKey, err),
		Hint: "put the key file back from a backup",
	}
}

func (s Source) key(f keyFile) (Key, error) {
	switch {
	case len(f.Salt) > 0 && s.Passphrase.IsZero():
		return Key{}, &home.Error{
			Op:   "open the vault",
			Err:  fmt.Errorf("%w: it wants a passphrase", home.ErrNewKey),
			Hint: "give it in the file that --passphrase-file names",
		}
	case len(f.Salt) > 0 && f.Memory >= 8 && f.Memory <= 1<<20 && f.Time >= 1 && f.Time <= 64:
		return New(argon2.IDKey([]byte(s.Passphrase.Reveal()), f.Salt, f.Time, f.Memory, 1, keySize))
	case len(f.Key) == keySize && s.Passphrase.IsZero():
		return New(f.Key)
	case len(f.Key) == keySize:
		return Key{}, &home.Error{
			Op:   "open the vault",
			Err:  fmt.Errorf("%w: it was made without a passphrase", home.ErrNewKey),
			Hint: "start without --passphrase-file",
		}
	}
	return Key{}, s.failed(errors.New("it is malformed"))
}

// create makes a key and keeps it, or the salt for the passphrase.
func (s Source) create() (Key, error) {
	var f keyFile
	if s.Passphrase.IsZero() {
		f.Key = make([]byte, keySize)
		_, _ = rand.Read(f.Key)
	} else {
		f = keyFile{Salt: make([]byte, 16), Time: 3, Memory: 32 << 10} // 32 MiB: what a router can spare for a second
		_, _ = rand.Read(f.Salt)
	}
	raw, err := json.Marshal(f)
	if err == nil {
		err = atomicfile.Write(s.File, raw, 0o600)
	}
	if err != nil {
		return Key{}, &home.Error{
			Op:   "make the vault's key " + s.File,
			Err:  err,
			Hint: "see that the disk has room and this user may write there",
		}
	}
	return s.key(f)
}

// Export returns the content of a key file with which the data can be opened elsewhere: that of the key file, or one
// with the key of the systemd credential.
func (s Source) Export() ([]byte, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && s.Passphrase.IsZero() {
		path := filepath.Join(dir, Credential)
		raw, err := os.ReadFile(path)
		if err == nil {
			sum := sha256.Sum256(raw)
			return json.Marshal(keyFile{Key: sum[:]})
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, credentialFailed(path, err, "see that this user may read it: run this as root, or as the unit does")
		}
	}
	raw, err := os.ReadFile(s.File)
	if err != nil {
		return nil, &home.Error{
			Op: "read the vault's key", Err: err,
			Hint: "run this as the user as whom the daemon runs; if systemd keeps the key, run this as root with " +
				"CREDENTIALS_DIRECTORY=/etc/rekeyd",
		}
	}
	return raw, nil
}
