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

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Role is what a member of the link is. It is the first part of the member's name.
type Role string

// The roles of members, and of the service itself.
const (
	RoleHub     Role = "hub"
	RoleDevice  Role = "rk" // a device that speaks the link itself
	RoleService Role = "svc"
)

// Identity is a member's two key pairs: Ed25519 to sign, X25519 to be sealed to. Its name is derived from both public
// keys, so whoever shows keys that fit a name, and signs with them, is that member.
//
// The private keys stand in functions, where reflection does not find them: fmt would print them of a struct that holds an
// Identity in an unexported field.
type Identity struct {
	Name string
	Keys Keys
	sign func(msg []byte) []byte
	open func(info, sealed []byte) ([]byte, error)
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
	if len(signSeed) != ed25519.SeedSize || len(sealSeed) != 32 {
		return nil, fmt.Errorf("identity: seeds of %d and %d bytes, want 32", len(signSeed), len(sealSeed))
	}
	seal, err := kem.DeriveKeyPair(sealSeed)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	sign := ed25519.NewKeyFromSeed(signSeed)
	id := &Identity{
		Keys: Keys{Sign: sign.Public().(ed25519.PublicKey), Seal: seal.PublicKey().Bytes()},
		sign: func(msg []byte) []byte { return ed25519.Sign(sign, msg) },
		open: func(info, sealed []byte) ([]byte, error) {
			return hpke.Open(seal, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, sealed)
		},
	}
	id.Name = id.Keys.Name(r)
	return id, nil
}

// String returns the name, which is no secret; the keys print nowhere.
func (id *Identity) String() string { return id.Name }

// Format prints the name for every verb and flag, of a pointer and of a copy: fmt would find the keys.
func (id Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, id.Name) }

// Name returns the name of the member in role r whose keys these are: 130 bits of a hash of both.
func (k Keys) Name(r Role) string {
	h := sha256.Sum256(Encode("rekeyd/v1/member", k.Sign, k.Seal))
	return string(r) + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(h[:])[:26])
}

// Is tells whether the keys are those of name, in any role.
func (k Keys) Is(name string) bool {
	if len(k.Sign) != ed25519.PublicKeySize || len(k.Seal) != 32 {
		return false
	}
	role, _, ok := strings.Cut(name, "-")
	return ok && k.Name(Role(role)) == name
}

// Signature returns an Ed25519 signature of msg, which is to come from Encode.
func (id *Identity) Signature(msg []byte) []byte { return id.sign(msg) }

// Verify checks a signature; it returns home.ErrForged.
func (k Keys) Verify(msg, sig []byte) error {
	if len(k.Sign) != ed25519.PublicKeySize || !ed25519.Verify(k.Sign, msg, sig) {
		return home.ErrForged
	}
	return nil
}

// SealTo seals plain to the member with the keys k, with HPKE in base mode (RFC 9180; X25519, HKDF-SHA256,
// ChaCha20-Poly1305). info is bound to it. The result says nothing of who sealed it: it goes into a signed message.
func (k Keys) SealTo(info, plain []byte) ([]byte, error) {
	pub, err := kem.NewPublicKey(k.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return hpke.Seal(pub, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, plain)
}

// Open opens what was sealed to this identity with info; it returns home.ErrForged.
func (id *Identity) Open(info, sealed []byte) ([]byte, error) {
	plain, err := id.open(info, sealed)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed to %s: %w", id.Name, home.ErrForged)
	}
	return plain, nil
}

// ValidName tells whether s can name an account, a member or a device: 1 to 64 of [a-z0-9-]. Such a name can stand in a topic.
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
