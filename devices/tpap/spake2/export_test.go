package spake2

import "crypto/sha256"

// ProverOf begins an exchange with a chosen ephemeral scalar.
func ProverOf(s Secrets, x []byte) *Prover { return newProver(s, scalar(x)) }

// ResponderOf is ProverOf for the device.
func ResponderOf(v Verifier, y []byte) *Responder { return newResponder(v, scalar(y)) }

// W0, W1 and L are the parts of the secrets and of the verifier.
func (s Secrets) W0() []byte { return s.w0[:] }
func (s Secrets) W1() []byte { return s.w1[:] }
func (v Verifier) L() []byte { return v.l[:] }

// TranscriptOf returns TT of the given parts, and its confirmation keys.
func TranscriptOf(context, x, y, z, v []byte, s Secrets) (tt, confirm []byte) {
	tt = transcript(context, x, y, z, v, s.w0)
	ke := sha256.Sum256(tt)
	return tt, expand(ke[:], "ConfirmationKeys", 64)
}

// Reduced returns wide modulo the order, and the negative of that.
func Reduced(wide []byte) (s, negative []byte) {
	r := reduce(wide)
	minus := r.negate()
	return r[:], minus[:]
}
