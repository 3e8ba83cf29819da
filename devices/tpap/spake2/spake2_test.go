package spake2_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"math/big"
	"testing"

	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
	"github.com/rekeyd/rekeyd/devices/tpap/vectors"
)

// same checks a value of c, where c has it.
func same(t *testing.T, c vectors.Case, name string, got []byte) {
	t.Helper()
	if c.Has(name) && !bytes.Equal(got, c.Bytes(t, name)) {
		t.Errorf("%s: got %x", name, got)
	}
}

func stretched(t *testing.T, c vectors.Case) spake2.Secrets {
	t.Helper()
	iterations, ok := new(big.Int).SetString(c.Text(t, "iterations"), 10)
	if !ok {
		t.Fatal("no number of iterations")
	}
	s, err := spake2.Stretch(c.Text(t, "credential"), c.Bytes(t, "dev_salt"), int(iterations.Int64()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProverAgreesWithTheVectors(t *testing.T) {
	for _, c := range vectors.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			s := stretched(t, c)
			same(t, c, "w0", s.W0())
			same(t, c, "w1", s.W1())
			same(t, c, "L", s.Verifier().L())
			p := spake2.ProverOf(s, c.Bytes(t, "x"))
			same(t, c, "user_share", p.Share())
			context := spake2.Context(c.Bytes(t, "user_random"), c.Bytes(t, "dev_random"))
			same(t, c, "context", context)
			keys, err := p.Finish(context, c.Bytes(t, "dev_share"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, c, "user_confirm", keys.User)
			same(t, c, "dev_confirm", keys.Device)
			same(t, c, "SharedKey", keys.Shared)
			if c.Has("dev_confirm") && !keys.ProvedByDevice(c.Bytes(t, "dev_confirm")) {
				t.Error("the device's confirmation is refused")
			}
			if !c.Has("Z") {
				return
			}
			tt, confirm := spake2.TranscriptOf(context, p.Share(), c.Bytes(t, "dev_share"), c.Bytes(t, "Z"), c.Bytes(t, "V"), s)
			sum := sha256.Sum256(tt)
			same(t, c, "TT", sum[:])
			same(t, c, "KcA", confirm[:32])
			same(t, c, "KcB", confirm[32:])
			if len(tt) != 534 {
				t.Errorf("the transcript has %d bytes", len(tt))
			}
		})
	}
}

func TestResponderAgreesWithTheVectors(t *testing.T) {
	for _, c := range vectors.All(t) {
		if !c.Has("y") || c.Has("device_expects") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			r := spake2.ResponderOf(stretched(t, c).Verifier(), c.Bytes(t, "y"))
			same(t, c, "dev_share", r.Share())
			context := spake2.Context(c.Bytes(t, "user_random"), c.Bytes(t, "dev_random"))
			keys, err := r.Finish(context, c.Bytes(t, "user_share"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, c, "user_confirm", keys.User)
			same(t, c, "dev_confirm", keys.Device)
			same(t, c, "SharedKey", keys.Shared)
		})
	}
}

func TestWrongPasswordIsRefused(t *testing.T) {
	all := vectors.All(t)
	right, wrong := all[0], all[len(all)-1]
	r := spake2.ResponderOf(stretched(t, right).Verifier(), right.Bytes(t, "y"))
	context := spake2.Context(wrong.Bytes(t, "user_random"), wrong.Bytes(t, "dev_random"))
	keys, err := r.Finish(context, wrong.Bytes(t, "user_share"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, wrong, "device_expects", keys.User)
	if keys.ProvedByUser(wrong.Bytes(t, "user_confirm")) {
		t.Error("the device takes a wrong password")
	}
}

// generator is the base point, and coordinates of it that were changed.
func generator(changed int) []byte {
	g := elliptic.P256().Params()
	raw := append([]byte{4}, append(g.Gx.FillBytes(make([]byte, 32)), g.Gy.FillBytes(make([]byte, 32))...)...)
	raw[changed] ^= 1
	return raw
}

func TestInvalidSharesAreRefused(t *testing.T) {
	s, err := spake2.Stretch("password", []byte("salt"), 1)
	if err != nil {
		t.Fatal(err)
	}
	tooLarge := append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...)
	for name, share := range map[string][]byte{
		"none": nil, "infinity": {0}, "zeros": make([]byte, 65), "short": generator(0)[:64],
		"not on the curve": generator(64), "unknown form": generator(0), "coordinates above the field": tooLarge,
		"no such x": append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
	} {
		if _, err := spake2.NewProver(s).Finish(nil, share); !errors.Is(err, spake2.ErrShare) {
			t.Errorf("%s: prover: %v", name, err)
		}
		if _, err := spake2.NewResponder(s.Verifier()).Finish(nil, share); !errors.Is(err, spake2.ErrShare) {
			t.Errorf("%s: responder: %v", name, err)
		}
	}
}

// A verifier that sends w0*N has Z and V at infinity whatever x is: its confirmation would need no secret but w0.
func TestSharesThatCancelTheBlindingAreRefused(t *testing.T) {
	s, err := spake2.Stretch("password", []byte("salt"), 1)
	if err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, 32)
	_, err = spake2.NewProver(s).Finish(nil, spake2.ResponderOf(s.Verifier(), zero).Share())
	if !errors.Is(err, spake2.ErrShare) {
		t.Errorf("prover: %v", err)
	}
	_, err = spake2.NewResponder(s.Verifier()).Finish(nil, spake2.ProverOf(s, zero).Share())
	if !errors.Is(err, spake2.ErrShare) {
		t.Errorf("responder: %v", err)
	}
}

func TestIterationsAreBounded(t *testing.T) {
	for _, n := range []int{-1, 0, spake2.MaxIterations + 1, 1 << 31} {
		if _, err := spake2.Stretch("password", []byte("salt"), n); err == nil {
			t.Errorf("%d iterations are accepted", n)
		}
	}
}

func TestExchangesAreUnlike(t *testing.T) {
	s, err := spake2.Stretch("password", []byte("salt"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(spake2.NewProver(s).Share(), spake2.NewProver(s).Share()) {
		t.Error("two exchanges have the same share")
	}
}

// Whatever share arrives is refused, or leads to keys that a prover with another password does not have.
func FuzzShareIsRefusedOrAnswered(f *testing.F) {
	f.Add(generator(1))
	f.Add([]byte{0})
	f.Add(append([]byte{3}, make([]byte, 32)...))
	s, err := spake2.Stretch("password", []byte("salt"), 1)
	if err != nil {
		f.Fatal(err)
	}
	other, err := spake2.Stretch("other", []byte("salt"), 1)
	if err != nil {
		f.Fatal(err)
	}
	x := bytes.Repeat([]byte{7}, 32)
	f.Fuzz(func(t *testing.T, share []byte) {
		keys, err := spake2.ProverOf(s, x).Finish([]byte("context"), share)
		others, err2 := spake2.ProverOf(other, x).Finish([]byte("context"), share)
		switch {
		case err != nil && !errors.Is(err, spake2.ErrShare):
			t.Fatal(err)
		case err == nil && err2 == nil && bytes.Equal(keys.User, others.User):
			t.Fatal("the confirmation does not depend on the password")
		}
	})
}

// Reduction and negation agree with those of math/big.
func FuzzScalarsAgreeWithBig(f *testing.F) {
	order := elliptic.P256().Params().N
	less := new(big.Int).Sub(order, big.NewInt(1))
	one := big.NewInt(1)
	for _, n := range []*big.Int{
		new(big.Int), one, less, order, new(big.Int).Add(order, one), new(big.Int).Mul(order, order),
	} {
		f.Add(n.Bytes())
	}
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, wide []byte) {
		if len(wide) > 200 {
			return
		}
		got, negative := spake2.Reduced(wide)
		want := new(big.Int).Mod(new(big.Int).SetBytes(wide), order)
		if !bytes.Equal(got, want.FillBytes(make([]byte, 32))) {
			t.Fatalf("%x modulo the order: got %x", wide, got)
		}
		want.Mod(want.Neg(want), order)
		if !bytes.Equal(negative, want.FillBytes(make([]byte, 32))) {
			t.Fatalf("negative of %x modulo the order: got %x", wide, negative)
		}
	})
}
