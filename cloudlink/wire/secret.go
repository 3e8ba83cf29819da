package wire

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	nonceSize = 32
	keySize   = 32
)

// NewNonce returns 32 random bytes.
func NewNonce() []byte {
	b := make([]byte, nonceSize)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// Granted is what a grant holds when it is opened.
type Granted struct {
	Secret   home.Secret // the epoch secret, 32 bytes
	Username string      // the account's e-mail as registered; empty for a device that speaks the link itself
	Password home.Secret // the new password; empty where the service no longer knows it, and for such a device
}

// granted is Granted on its way into the seal, where it is in the clear.
type granted struct {
	Secret   []byte `json:"secret"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// GrantInfo binds a grant to its account, member and epoch.
func GrantInfo(account, member string, epoch uint64) []byte {
	return encode("rekeyd/v1/grant", account, member, decimal(epoch))
}

// SealGrant seals g to the member with the keys k.
func (k Keys) SealGrant(account, member string, epoch uint64, g Granted) ([]byte, error) {
	plain, err := json.Marshal(granted{[]byte(g.Secret.Reveal()), g.Username, g.Password.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return k.SealTo(GrantInfo(account, member, epoch), plain)
}

// OpenGrant opens a grant that was sealed to this identity. The message that carries it was verified before. It returns home.ErrForged.
func (id *Identity) OpenGrant(g *Grant) (Granted, error) {
	plain, err := id.Open(GrantInfo(g.Notice.Account, id.Name, g.Notice.Epoch), g.Sealed)
	if err != nil {
		return Granted{}, fmt.Errorf("grant of epoch %d: %w", g.Notice.Epoch, err)
	}
	var in granted
	if err := json.Unmarshal(plain, &in); err != nil || len(in.Secret) != keySize {
		return Granted{}, fmt.Errorf("grant of epoch %d is malformed: %w", g.Notice.Epoch, home.ErrForged)
	}
	return Granted{home.SecretBytes(in.Secret), in.Username, home.NewSecret(in.Password)}, nil
}

// SecretInfo binds sealed binding secrets to the account and the member that sends them.
func SecretInfo(account, member string) []byte { return encode("rekeyd/v1/secrets", account, member) }

// JoinInfo binds a sealed Joined to the hub and the device.
func JoinInfo(hub, device string) []byte { return encode("rekeyd/v1/join", hub, device) }

// RelayInfo binds what is relayed to the account, who sends it to whom, the device, and the message (for an answer: the message that it
// answers): what was sealed for one request opens for no other.
func RelayInfo(account, from, to, device, message string) []byte {
	return encode("rekeyd/v1/relay", account, from, to, device, message)
}

// Joined is what a device that speaks the link is told when it joins an account.
type Joined struct {
	Account string   `json:"account"`
	Service Keys     `json:"service"`
	Brokers []string `json:"brokers"` // MQTT URLs, tried in turn; may hold the credential of a broker
	Notice  Notice   `json:"notice"`
}

// SignIn is one sign-in of one device: everything that both proofs are over.
type SignIn struct {
	Account, Member, Device    string
	Epoch                      uint64
	MemberNonce, ServiceNonce  []byte
	EpochSecret, BindingSecret home.Secret // of the epoch, and of the device
}

// key derives the sign-in's key. It takes both secrets: an old binding secret without a grant is worth nothing, and neither
// is a grant without a binding secret.
func (s SignIn) key() []byte {
	info := encode("rekeyd/v1/sign-in-key", s.Account, s.Member, s.Device, decimal(s.Epoch))
	k, err := hkdf.Key(sha256.New, []byte(s.EpochSecret.Reveal()), []byte(s.BindingSecret.Reveal()), string(info), keySize)
	if err != nil {
		panic("wire: " + err.Error()) // only for an absurd length
	}
	return k
}

// Proofs returns the proof of the service and that of the member. They differ by a label, so a proof that is sent back
// to its sender is worth nothing.
func (s SignIn) Proofs() (service, member []byte) {
	k := s.key()
	prove := func(role string) []byte {
		m := hmac.New(sha256.New, k)
		m.Write(encode("rekeyd/v1/sign-in", role, s.Account, s.Member, s.Device, decimal(s.Epoch), string(s.MemberNonce), string(s.ServiceNonce)))
		return m.Sum(nil)
	}
	return prove("service"), prove("member")
}

// PairingProof proves knowledge of a pairing's secret: by the hub for its own keys, and by the service for its own.
func PairingProof(secret home.Secret, prover Role, pairing, hub string, k Keys) []byte {
	m := hmac.New(sha256.New, []byte(secret.Reveal()))
	m.Write(encode("rekeyd/v1/pairing", string(prover), pairing, hub, string(k.Sign), string(k.Seal)))
	return m.Sum(nil)
}

// HeldProof proves to whoever holds the same epoch secret that the device holds it, too.
func HeldProof(epochSecret home.Secret, account, device string, epoch uint64, nonce []byte) []byte {
	m := hmac.New(sha256.New, []byte(epochSecret.Reveal()))
	m.Write(encode("rekeyd/v1/held", account, device, decimal(epoch), string(nonce)))
	return m.Sum(nil)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// Equal compares two proofs in constant time.
func Equal(a, b []byte) bool { return len(a) > 0 && hmac.Equal(a, b) }
