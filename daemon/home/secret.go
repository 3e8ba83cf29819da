package home

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// Secret is a password, a token, a key, or a hash that is as good as one. It prints, logs and marshals as "[redacted]",
// also as the key of a map or a field of another value. Reveal is the only way out, and easy to find with grep.
//
// The handle hides the value from reflection: printing a struct that holds a Secret in an unexported field shows an
// address.
type Secret struct {
	redaction
	h unique.Handle[string]
}

const redacted = "[redacted]"

// NewSecret returns the secret s. An empty s gives the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{h: unique.Make(s)}
}

// SecretBytes returns the secret b. It keeps no reference to b.
func SecretBytes(b []byte) Secret { return NewSecret(string(b)) }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Reveal returns the secret in the clear.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.h.Value()
}

// Equal compares in constant time for secrets of equal length.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Key is a secret of bytes that is made by the thousand, such as the binding secret of each device. Two of them cannot
// be compared with ==, which makes a Key cheaper than a Secret. It holds a function, because printing a struct that
// holds a Key in an unexported field shows an address then.
type Key struct {
	redaction
	reveal func() []byte
}

// KeyBytes returns the key b, and keeps b. An empty b gives the zero Key.
func KeyBytes(b []byte) Key {
	if len(b) == 0 {
		return Key{}
	}
	return Key{reveal: func() []byte { return b }}
}

// IsZero reports whether the key is empty.
func (k Key) IsZero() bool { return k.reveal == nil }

// Reveal returns the key in the clear. The caller must not write to it.
func (k Key) Reveal() []byte {
	if k.IsZero() {
		return nil
	}
	return k.reveal()
}

// Equal compares in constant time for keys of equal length.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.Reveal(), o.Reveal()) == 1 }

// redaction has the methods that keep a value out of all output.
type redaction struct{}

// Format prints "[redacted]" for every verb and flag.
func (redaction) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps the secret out of structured logs.
func (redaction) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText serves JSON, XML, flags, and map keys.
func (redaction) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary serves gob and other binary encodings.
func (redaction) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
