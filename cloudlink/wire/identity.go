package wire

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
)

// Role is the role of a member of the link. It is the first part of the member's name.
type Role string

// The roles of members, and of the service itself.
const (
	RoleHub     Role = "hub"
	RoleDevice  Role = "rk" // a device that speaks the link itself
	RoleService Role = "svc"
)

// Identity is a member's two key pairs: Ed25519 to sign, X25519 to be sealed to. Its name derives from the signing key
// alone, so whoever shows a key that fits a name, and signs with it, is that member. The sealing key can change.
//
// The private keys stand in functions, where reflection does not find them: fmt would print them from a struct that
// holds an Identity in an unexported field.
type Identity struct {
	Name string
	Keys Keys
	*Sealer
	sign func(msg []byte) []byte
	mac  func(parts ...string) []byte // under a key that derives from the signing key
}

// Keys are the public keys of a member.
type Keys struct {
	Sign []byte `json:"sign"` // Ed25519, 32 bytes
	Seal []byte `json:"seal"` // X25519, 32 bytes
}

var kem = hpke.DHKEM(ecdh.X25519())

// NewSeed returns 32 random bytes, as NewIdentity takes two of.
func NewSeed() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// NewIdentity returns the identity that two secret seeds of 32 bytes give.
func NewIdentity(r Role, signSeed, sealSeed []byte) (*Identity, error) {
	if len(signSeed) != ed25519.SeedSize {
		return nil, fmt.Errorf("identity: seed of %d bytes, want 32", len(signSeed))
	}
	seal, err := NewSealer(sealSeed)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	sign := ed25519.NewKeyFromSeed(signSeed)
	macKey := derive(signSeed, nil, "rekeyd/v1/mac-key")
	id := &Identity{
		Keys:   Keys{Sign: sign.Public().(ed25519.PublicKey), Seal: seal.Public},
		Sealer: seal,
		sign:   func(msg []byte) []byte { return ed25519.Sign(sign, msg) },
		mac:    func(parts ...string) []byte { return mac(macKey, parts...) },
	}
	id.Name = id.Keys.Name(r)
	return id, nil
}

// String returns the name, which is no secret; the keys print nowhere.
func (id *Identity) String() string { return id.Name }

// Format prints the name for every verb and flag, of a pointer and of a copy: fmt would find the keys.
func (id Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, id.Name) }

// Name returns the name of the member in role r with the signing key k.Sign: 130 bits of its hash.
func (k Keys) Name(r Role) string {
	h := sha256.Sum256(k.Sign)
	return string(r) + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(h[:])[:26])
}

// Is returns whether name derives from the signing key, in any role.
func (k Keys) Is(name string) bool {
	if len(k.Sign) != ed25519.PublicKeySize {
		return false
	}
	role, _, ok := strings.Cut(name, "-")
	return ok && k.Name(Role(role)) == name
}

// ValidName returns whether s can name an account, a member or a device: 1 to 64 of [a-z0-9-]. Such a name can stand in
// a topic.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
