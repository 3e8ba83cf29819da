package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

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

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// mac is the proof that the holder of key computed it over parts.
func mac(key []byte, parts ...string) []byte {
	sum := sum256(key, appendParts(make([]byte, sha256.BlockSize, 512), parts...))
	return sum[:]
}

// derive returns a key for one purpose, from two secrets: HKDF-SHA256 (RFC 5869) of 32 bytes, which is one block.
func derive(secret, salt []byte, parts ...string) []byte {
	buf := make([]byte, sha256.BlockSize, 512)
	prk := sum256(salt, append(buf, secret...))
	key := sum256(prk[:], append(appendParts(buf, parts...), 1))
	return key[:]
}

// sum256 is HMAC-SHA256 (RFC 2104) of the message that stands behind the first 64 bytes of buf, which it overwrites.
// It allocates nothing: with crypto/hmac and crypto/hkdf, half of the time of a proof went to their 31 allocations.
func sum256(key, buf []byte) [sha256.Size]byte {
	if len(key) > sha256.BlockSize {
		h := sha256.Sum256(key)
		key = h[:]
	}
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		buf[i], outer[i] = 0x36, 0x5c
	}
	for i, k := range key {
		buf[i] ^= k
		outer[i] ^= k
	}
	inner := sha256.Sum256(buf)
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}

// Equal compares two proofs in constant time.
func Equal(a, b []byte) bool { return len(a) > 0 && hmac.Equal(a, b) }

// Attempt is one sign-in of one device: everything that both proofs cover.
type Attempt struct {
	Account, Member, Device   string
	Request                   string // ID of the message
	Epoch                     uint64
	MemberNonce, ServiceNonce []byte
	EpochSecret               home.Secret
	BindingSecret             home.Key // of the device
}

// Proofs returns the proof of the service and that of the member. Their key takes both secrets: an old binding secret
// without a grant is worth nothing, and neither is a grant without a binding secret. They differ by a role, so a proof
// that is sent back to its sender is worth nothing.
func (a Attempt) Proofs() (service, member []byte) {
	k := derive([]byte(a.EpochSecret.Reveal()), a.BindingSecret.Reveal(),
		"rekeyd/v1/sign-in-key", a.Account, a.Member, a.Device, decimal(a.Epoch))
	prove := func(role string) []byte {
		return mac(k, "rekeyd/v1/sign-in", role, a.Account, a.Member, a.Device, decimal(a.Epoch), a.Request,
			string(a.MemberNonce), string(a.ServiceNonce))
	}
	return prove("service"), prove("member")
}

// nonceLife is how long a member can use a nonce of the service.
const nonceLife = 10 * time.Minute

// nonceSkew is how far the clocks of two instances of the service may be apart.
const nonceSkew = time.Minute

// SignInNonce returns the service's nonce for the sign-ins of a member at an epoch: the time, and a MAC under a key
// that every instance of the service derives from its identity. So it can be checked by an instance that did not make
// it.
func (id *Identity) SignInNonce(account, member string, epoch uint64, now time.Time) []byte {
	at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	return append(at, id.mac("rekeyd/v1/nonce", account, member, decimal(epoch), string(at))...)
}

// CheckSignInNonce returns whether nonce was made for the member and epoch, no longer than nonceLife ago.
func (id *Identity) CheckSignInNonce(nonce []byte, account, member string, epoch uint64, now time.Time) bool {
	if len(nonce) < 8 {
		return false
	}
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(nonce)))
	age := now.Sub(made)
	return hmac.Equal(nonce, id.SignInNonce(account, member, epoch, made)) && age <= nonceLife && age >= -nonceSkew
}

// KeyChallenge returns the challenge for the member that holds the sealing key seal. The service sends it sealed to
// that key, and recomputes it when the member replaces the key.
func (id *Identity) KeyChallenge(account, member string, seal []byte) []byte {
	return id.mac("rekeyd/v1/challenge", account, member, string(seal))
}

// MAC authenticates what a browser or an app keeps for the service, for one purpose: every instance can check it.
func (id *Identity) MAC(purpose string, parts ...string) []byte {
	return id.mac(append([]string{"rekeyd/v1/" + purpose}, parts...)...)
}

// KeyChange lets a member replace its sealing key. It takes the newest epoch's secret and the challenge, which only the
// holder of the key before can open: whoever has an older copy of the member's state has not got both.
type KeyChange struct {
	Account, Member string
	Epoch           uint64 // the newest
	Seal            []byte // the new public key
	Message         string // ID of the message that announces it
	EpochSecret     home.Secret
	Challenge       []byte
}

// Proof returns the member's proof.
func (c KeyChange) Proof() []byte {
	k := derive([]byte(c.EpochSecret.Reveal()), c.Challenge,
		"rekeyd/v1/key-proof-key", c.Account, c.Member, decimal(c.Epoch))
	return mac(k, "rekeyd/v1/key-proof", c.Account, c.Member, decimal(c.Epoch), string(c.Seal), c.Message)
}

// PairingProof proves knowledge of a pairing's secret: by the hub for its own keys, and by the service for its own.
func PairingProof(secret home.Secret, prover Role, pairing, hub string, k Keys) []byte {
	return mac([]byte(secret.Reveal()), "rekeyd/v1/pairing", string(prover), pairing, hub, string(k.Sign), string(k.Seal))
}

// HeldProof proves to a holder of the same epoch secret that the device holds it, too.
func HeldProof(epochSecret home.Secret, account, device string, epoch uint64, nonce []byte) []byte {
	return mac([]byte(epochSecret.Reveal()), "rekeyd/v1/held", account, device, decimal(epoch), string(nonce))
}
