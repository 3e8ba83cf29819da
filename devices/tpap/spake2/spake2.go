// Package spake2 is SPAKE2+ (RFC 9383) in the one suite that devices with TPAP are known to speak: P-256, SHA-256,
// HKDF, HMAC, with the transcript of devices/PROTOCOLS.md, section 11.3: that of the RFC with empty identities. The
// confirmations cover the shares, as in the RFC.
//
// The prover knows the password; the verifier holds what the prover's secrets leave behind, and cannot compute the
// password's half w1. Neither learns anything else about the other's secret than whether they agree: a false verifier
// can test one password per exchange.
package spake2

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"filippo.io/nistec"
)

// ErrShare is the error for a share that is no point of the curve, or one that no honest party sends.
var ErrShare = errors.New("spake2: invalid share")

// ShareSize is the size of a share: a point, uncompressed.
const ShareSize = 65

// MaxIterations bounds the work that a device can demand: about 50 ms.
const MaxIterations = 100_000

// Secrets are the two scalars that a prover derives from a password. They are as good as the password: keep them out of
// logs and files.
type Secrets struct{ w0, w1 scalar }

// Verifier is the part of Secrets that a device stores.
type Verifier struct {
	w0 scalar
	l  [ShareSize]byte
}

// Stretch makes the secrets of a credential, with PBKDF2-HMAC-SHA256 in the given number of iterations, 1 to
// MaxIterations.
func Stretch(credential string, salt []byte, iterations int) (Secrets, error) {
	if iterations < 1 || iterations > MaxIterations {
		return Secrets{}, fmt.Errorf("spake2: %d iterations: want 1 to %d", iterations, MaxIterations)
	}
	dk, err := pbkdf2.Key(sha256.New, credential, salt, iterations, 80)
	if err != nil {
		return Secrets{}, err
	}
	return Secrets{reduce(dk[:40]), reduce(dk[40:])}, nil
}

// Verifier returns the part of s that a device stores.
func (s Secrets) Verifier() Verifier {
	v := Verifier{w0: s.w0}
	copy(v.l[:], base(s.w1).Bytes())
	return v
}

// Context returns the context of an exchange, of the random bytes that both sides sent.
func Context(userRandom, deviceRandom []byte) []byte {
	h := sha256.New()
	h.Write([]byte("PAKE V1"))
	h.Write(userRandom)
	h.Write(deviceRandom)
	return h.Sum(nil)
}

// Prover is the client's side of one exchange.
type Prover struct {
	secrets Secrets
	x       scalar
	share   []byte
}

// NewProver begins an exchange.
func NewProver(s Secrets) *Prover { return newProver(s, ephemeral()) }

func newProver(s Secrets, x scalar) *Prover {
	share := nistec.NewP256Point().Add(base(x), times(m(), s.w0))
	return &Prover{s, x, share.Bytes()}
}

// Share is the message to the verifier: X.
func (p *Prover) Share() []byte { return p.share }

// Finish takes the verifier's share, compressed or not, and the context of the exchange. It returns ErrShare for a
// share that is not to be answered.
func (p *Prover) Finish(context, share []byte) (Keys, error) {
	y, err := point(share)
	if err != nil {
		return Keys{}, err
	}
	unblinded := nistec.NewP256Point().Add(y, times(n(), p.secrets.w0.negate()))
	z := times(unblinded, p.x)
	v := times(unblinded, p.secrets.w1)
	if identity(z) || identity(v) {
		return Keys{}, ErrShare
	}
	return schedule(transcript(context, p.share, y.Bytes(), z.Bytes(), v.Bytes(), p.secrets.w0), p.share, y.Bytes()), nil
}

// Responder is the device's side of one exchange.
type Responder struct {
	verifier Verifier
	y        scalar
	share    []byte
}

// NewResponder begins an exchange.
func NewResponder(v Verifier) *Responder { return newResponder(v, ephemeral()) }

func newResponder(v Verifier, y scalar) *Responder {
	share := nistec.NewP256Point().Add(base(y), times(n(), v.w0))
	return &Responder{v, y, share.Bytes()}
}

// Share is the message to the prover: Y.
func (r *Responder) Share() []byte { return r.share }

// Finish is Prover.Finish for the device.
func (r *Responder) Finish(context, share []byte) (Keys, error) {
	x, err := point(share)
	if err != nil {
		return Keys{}, err
	}
	l, err := nistec.NewP256Point().SetBytes(r.verifier.l[:])
	if err != nil {
		return Keys{}, err
	}
	z := times(nistec.NewP256Point().Add(x, times(m(), r.verifier.w0.negate())), r.y)
	v := times(l, r.y)
	if identity(z) || identity(v) {
		return Keys{}, ErrShare
	}
	return schedule(transcript(context, x.Bytes(), r.share, z.Bytes(), v.Bytes(), r.verifier.w0), x.Bytes(), r.share), nil
}

// Keys are the outcome of an exchange: equal on both sides where both have the same password, and unrelated
// otherwise. Nothing is proved before the other side's confirmation was checked.
type Keys struct {
	User, Device []byte // confirmations of the prover and of the verifier
	Shared       []byte // 32 bytes, secret
}

// ProvedByUser reports whether confirmation is the prover's, in constant time.
func (k Keys) ProvedByUser(confirmation []byte) bool { return hmac.Equal(k.User, confirmation) }

// ProvedByDevice reports whether confirmation is the verifier's, in constant time.
func (k Keys) ProvedByDevice(confirmation []byte) bool { return hmac.Equal(k.Device, confirmation) }

// transcript is TT. w0 has 32 bytes in it whatever its leading bytes are.
func transcript(context, x, y, z, v []byte, w0 scalar) []byte {
	var tt []byte
	for _, part := range [][]byte{context, nil, nil, m().Bytes(), n().Bytes(), x, y, z, v, w0[:]} {
		tt = binary.LittleEndian.AppendUint64(tt, uint64(len(part)))
		tt = append(tt, part...)
	}
	return tt
}

// schedule derives the keys from a transcript and the shares, uncompressed.
func schedule(tt, x, y []byte) Keys {
	ke := sha256.Sum256(tt)
	confirm := expand(ke[:], "ConfirmationKeys", 64)
	return Keys{User: mac(confirm[:32], y), Device: mac(confirm[32:], x), Shared: expand(ke[:], "SharedKey", 32)}
}

func expand(secret []byte, label string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, label, size)
	if err != nil {
		panic("hkdf of at most 64 bytes: " + err.Error())
	}
	return key
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// ephemeral returns a random scalar. From 40 bytes its distance from uniform is 2^-64.
func ephemeral() scalar {
	var wide [40]byte
	_, _ = rand.Read(wide[:]) // never fails
	return reduce(wide[:])
}

// m and n are M and N of RFC 9383, section 4, for P-256: points whose discrete logarithm is unknown.
var (
	m = constant("02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f")
	n = constant("03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49")
)

// constant decodes a point of RFC 9383, section 4.
func constant(text string) func() *nistec.P256Point {
	return sync.OnceValue(func() *nistec.P256Point {
		raw, err := hex.DecodeString(text)
		if err != nil {
			panic("a constant of the RFC: " + err.Error())
		}
		p, err := nistec.NewP256Point().SetBytes(raw)
		if err != nil {
			panic("a constant of the RFC: " + err.Error())
		}
		return p
	})
}

// point reads a share. The point at infinity is none: it has another size.
func point(share []byte) (*nistec.P256Point, error) {
	if len(share) != 33 && len(share) != ShareSize {
		return nil, ErrShare
	}
	p, err := nistec.NewP256Point().SetBytes(share)
	if err != nil {
		return nil, ErrShare
	}
	return p, nil
}

func identity(p *nistec.P256Point) bool { return len(p.Bytes()) == 1 }

func base(s scalar) *nistec.P256Point {
	p, err := nistec.NewP256Point().ScalarBaseMult(s[:])
	if err != nil {
		panic("a scalar of 32 bytes: " + err.Error())
	}
	return p
}

func times(p *nistec.P256Point, s scalar) *nistec.P256Point {
	q, err := nistec.NewP256Point().ScalarMult(p, s[:])
	if err != nil {
		panic("a scalar of 32 bytes: " + err.Error())
	}
	return q
}
