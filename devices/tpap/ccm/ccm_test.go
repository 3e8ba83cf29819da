package ccm_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/tpap/ccm"
)

func bin(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// count returns n bytes that count up from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestVectorsOfTheStandards(t *testing.T) {
	nistKey, rfcKey := count(0x40, 16), count(0xc0, 16)
	for _, v := range []struct {
		name                   string
		key, nonce, data, text []byte
		tag                    int
		sealed                 string
	}{
		{"SP 800-38C, example 1", nistKey, count(0x10, 7), count(0, 8), count(0x20, 4), 4, "7162015b 4dac255d"},
		{
			"SP 800-38C, example 2", nistKey, count(0x10, 8), count(0, 16), count(0x20, 16), 6,
			"d2a1f0e051ea5f62081a7792073d593d 1fc64fbfaccd",
		},
		{
			"SP 800-38C, example 3", nistKey, count(0x10, 12), count(0, 20), count(0x20, 24), 8,
			"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951",
		},
		{
			"SP 800-38C, example 4", nistKey, count(0x10, 13), count(0, 65536), count(0x20, 32), 14,
			"69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72 b4ac6bec93e8598e7f0dadbcea5b",
		},
		{
			"RFC 3610, packet vector 1", rfcKey, bin(t, "00000003020100A0A1A2A3A4A5"), count(0, 8), count(8, 23), 8,
			"588C979A61C663D2F066D0C2C0F989806D5F6B61DAC384 17E8D12CFDF926E0",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			m, err := ccm.New(v.key, len(v.nonce), v.tag)
			if err != nil {
				t.Fatal(err)
			}
			want := bin(t, v.sealed)
			if got := m.Seal(nil, v.nonce, v.text, v.data); !bytes.Equal(got, want) {
				t.Errorf("sealed %x", got)
			}
			if got, err := m.Open(nil, v.nonce, want, v.data); err != nil || !bytes.Equal(got, v.text) {
				t.Errorf("opened %x, %v", got, err)
			}
		})
	}
}

func TestSizesThatTheStandardDoesNotHaveAreRefused(t *testing.T) {
	for _, c := range [][3]int{{16, 6, 16}, {16, 14, 16}, {16, 12, 2}, {16, 12, 15}, {16, 12, 18}, {15, 12, 16}} {
		if _, err := ccm.New(make([]byte, c[0]), c[1], c[2]); err == nil {
			t.Errorf("key of %d bytes, nonce of %d, tag of %d: accepted", c[0], c[1], c[2])
		}
	}
}

func TestPlaintextTooLongForItsNonceIsRefused(t *testing.T) {
	m, err := ccm.New(make([]byte, 16), 13, 16)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(m.Seal(nil, make([]byte, 13), make([]byte, 65535), nil)); got != 65551 {
		t.Errorf("sealed %d bytes", got)
	}
	if _, err := m.Open(nil, make([]byte, 13), make([]byte, 65536+16), nil); err == nil {
		t.Error("opened a message that cannot have been sealed")
	}
	defer func() {
		if recover() == nil {
			t.Error("sealed 65,536 bytes under a length field of two")
		}
	}()
	m.Seal(nil, make([]byte, 13), make([]byte, 65536), nil)
}

// What was sealed opens; with any bit changed it does not; and the bytes before it stay.
func FuzzSealedOpensAndChangedDoesNot(f *testing.F) {
	f.Add([]byte("key of 16 bytes."), []byte("nonce of 12."), []byte("text"), []byte("data"), uint(3))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, uint(0))
	f.Add([]byte{1}, []byte{2}, make([]byte, 16), []byte{}, uint(200))
	f.Fuzz(func(t *testing.T, key, nonce, text, data []byte, bit uint) {
		k, n := make([]byte, 16), make([]byte, 12)
		copy(k, key)
		copy(n, nonce)
		m, err := ccm.New(k, 12, 16)
		if err != nil {
			t.Fatal(err)
		}
		sealed := m.Seal([]byte("before"), n, text, data)
		if !bytes.HasPrefix(sealed, []byte("before")) {
			t.Fatal("the bytes before are changed")
		}
		sealed = sealed[len("before"):]
		if got, err := m.Open(nil, n, sealed, data); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("opened %x, %v", got, err)
		}
		if got := m.Seal(bytes.Clone(text)[:0], n, bytes.Clone(text), data); !bytes.Equal(got, sealed) {
			t.Fatalf("sealed %x, want %x", got, sealed)
		}
		at := bit % uint(8*len(sealed))
		sealed[at/8] ^= 1 << (at % 8)
		if _, err := m.Open(nil, n, sealed, data); err == nil {
			t.Fatalf("opened with bit %d changed", at)
		}
	})
}
