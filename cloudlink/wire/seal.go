package wire

import (
	"crypto/hpke"
	"encoding/json"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Sealer is a sealing key pair: it opens what is sealed to its public key. The private key stands in a function, as in
// Identity.
type Sealer struct {
	Public []byte // X25519, 32 bytes
	open   func(info, sealed []byte) ([]byte, error)
}

// NewSealer returns the key pair that a secret seed of 32 bytes gives (DeriveKeyPair of RFC 9180, 7.1.3).
func NewSealer(seed []byte) (*Sealer, error) {
	if len(seed) != 32 {
		return nil, fmt.Errorf("sealing key: seed of %d bytes, want 32", len(seed))
	}
	key, err := kem.DeriveKeyPair(seed)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return &Sealer{Public: key.PublicKey().Bytes(), open: func(info, sealed []byte) ([]byte, error) {
		return hpke.Open(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, sealed)
	}}, nil
}

// Open opens a seal that was made to this key with info; it returns home.ErrForged.
func (s *Sealer) Open(info, sealed []byte) ([]byte, error) {
	plain, err := s.open(info, sealed)
	if err != nil {
		return nil, fmt.Errorf("open seal: %w", home.ErrForged)
	}
	return plain, nil
}

// SealTo seals plain to the sealing key k.Seal, with HPKE in base mode (RFC 9180; X25519, HKDF-SHA256,
// ChaCha20-Poly1305). info is bound to it. A seal does not show its sender: what is sealed stands in a signed message.
func (k Keys) SealTo(info, plain []byte) ([]byte, error) {
	pub, err := kem.NewPublicKey(k.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return hpke.Seal(pub, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, plain)
}

// The info of each seal names all that it is for: a seal that was made for one purpose, receiver or epoch opens for no
// other.

// GrantInfo is for a Granted.
func GrantInfo(account, member string, epoch uint64) []byte {
	return encode("rekeyd/v1/grant", account, member, decimal(epoch))
}

// SecretInfo is for binding secrets, sealed to the service.
func SecretInfo(account, member string) []byte { return encode("rekeyd/v1/secrets", account, member) }

// ChallengeInfo is for the challenge of Welcome.
func ChallengeInfo(account, member string) []byte {
	return encode("rekeyd/v1/challenge", account, member)
}

// JoinInfo is for a Joined.
func JoinInfo(hub, device string) []byte { return encode("rekeyd/v1/join", hub, device) }

// RelayInfo is for a request to a device and for its answer. message is the ID of the request in both.
func RelayInfo(account, from, to, device, message string) []byte {
	return encode("rekeyd/v1/relay", account, from, to, device, message)
}

// Granted is what the seal of a grant holds.
type Granted struct {
	Secret   home.Secret // the epoch secret, 32 bytes
	Username string      // the account's e-mail as registered; empty for a native device
	Password home.Secret // the new password; empty where the service no longer knows it, and for a native device
}

// granted is Granted inside the seal.
type granted struct {
	Secret   []byte `json:"secret"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// SealGrant seals g to the sealing key k.Seal.
func (k Keys) SealGrant(account, member string, epoch uint64, g Granted) ([]byte, error) {
	plain, err := json.Marshal(granted{[]byte(g.Secret.Reveal()), g.Username, g.Password.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return k.SealTo(GrantInfo(account, member, epoch), plain)
}

// OpenGrant opens a grant to member that was sealed to this key. The message that carries it was verified before. It
// returns home.ErrForged.
func (s *Sealer) OpenGrant(member string, g *Grant) (Granted, error) {
	plain, err := s.Open(GrantInfo(g.Notice.Account, member, g.Notice.Epoch), g.Sealed)
	if err != nil {
		return Granted{}, fmt.Errorf("grant of epoch %d: %w", g.Notice.Epoch, err)
	}
	var in granted
	if checkObject(plain) != nil || json.Unmarshal(plain, &in) != nil || len(in.Secret) != keySize {
		return Granted{}, fmt.Errorf("grant of epoch %d is malformed: %w", g.Notice.Epoch, home.ErrForged)
	}
	return Granted{home.SecretBytes(in.Secret), in.Username, home.NewSecret(in.Password)}, nil
}
