package cbc_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/rekeyd/rekeyd/devices/cbc"
)

// The key, the initialization vector and the first two blocks of NIST SP 800-38A, F.2.1.
var (
	key    = unhex("2b7e151628aed2a6abf7158809cf4f3c")
	iv     = unhex("000102030405060708090a0b0c0d0e0f")
	plain  = unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
	sealed = unhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestBlocksAreThoseOfTheStandard(t *testing.T) {
	got := cbc.Seal(key, iv, plain)
	if len(got) != 48 || !bytes.Equal(got[:32], sealed) {
		t.Errorf("got %x, want %x and a block of padding", got, sealed)
	}
	if back, ok := cbc.Open(key, iv, got); !ok || !bytes.Equal(back, plain) {
		t.Errorf("opened as %x, %t", back, ok)
	}
	if back, ok := cbc.Open(key, iv, sealed); ok {
		t.Errorf("without padding, opened as %x", back)
	}
}

// FuzzOpen: a text that opens is sealed to the same bytes again, and no other.
func FuzzOpen(f *testing.F) {
	for _, n := range []int{0, 1, 15, 16, 17} {
		f.Add(cbc.Seal(key, iv, make([]byte, n)))
	}
	f.Add([]byte{})
	f.Add(sealed[:15])
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		got, ok := cbc.Open(key, iv, in)
		if ok && !bytes.Equal(cbc.Seal(key, iv, got), in) || !bytes.Equal(before, in) {
			t.Errorf("%x opens as %x", in, got)
		}
	})
}
