package tapocam_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// The vectors of devices/PROTOCOLS.md, section 10, which python-kasa computed.
func TestHashesAreThoseOfCameras(t *testing.T) {
	const (
		cnonce = "0001020304050607"
		nonce  = "1011121314151617"
		body   = `{"method":"securePassthrough","params":{"request":"AA=="}}`
	)
	v := tapocam.VectorOf("great_password", cnonce, nonce, false, body, 100)
	m := tapocam.VectorOf("great_password", cnonce, nonce, true, body, 100)
	for name, c := range map[string][2]string{
		"hash":        {v.Hash, "3F50F0C60B17CC29B0607AB0738B7ED3EC4F3C0C3885B9F3B39E94D89B03F87A"},
		"confirm":     {v.Confirm, "61BD676DB3FD3F2AAC700FB1A033C217CAF17411F3AEA5A674038F8C767DFF5F" + nonce + cnonce},
		"digest":      {v.Digest, "8B1D77C9505DDF2344148E21A4B23B2A847EC2728F4AD78BA79A995C2B18EFE3" + cnonce + nonce},
		"lsk":         {hex.EncodeToString(v.LSK[:]), "b5a54dc4a77703159591a092554f8faf"},
		"ivb":         {hex.EncodeToString(v.IVB[:]), "8bb4ef0ccfbb68f9cb6813b7784015eb"},
		"tag":         {v.Tag, "F0EDE12B23273BB37E8D7686FF585E79EE5127F5255FF26D539D14EA580F5F83"},
		"md5 hash":    {m.Hash, "5F0B36FECF53D296B1C0B5A51D777B5A"},
		"md5 confirm": {m.Confirm, "BF9E48E7F19C1480D36DC42EC2408909BB58C60A2559B0530A250F13F32ED058" + nonce + cnonce},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %s, want %s", name, c[0], c[1])
		}
	}
	for _, confirm := range []string{v.Confirm, m.Confirm} {
		if i, ok := tapocam.Match(cnonce, nonce, confirm, "other", "great_password"); !ok || i != 1 {
			t.Errorf("place %d, %t", i, ok)
		}
		for _, broken := range []string{
			"", confirm[:64], strings.Replace(confirm, confirm[:1], "0", 1), confirm + "0", confirm[:64] + cnonce + nonce,
		} {
			if _, ok := tapocam.Match(cnonce, nonce, broken, "other", "great_password"); ok {
				t.Errorf("proven by %q", broken)
			}
		}
	}
}

func TestOnlyWhatWasSealedWellIsOpened(t *testing.T) {
	for n := range 40 {
		plain := strings.Repeat("x", n)
		if got, err := tapocam.Decrypt(tapocam.Encrypt([]byte(plain))); err != nil || string(got) != plain {
			t.Errorf("%d: %q, %v", n, got, err)
		}
	}
	whole := tapocam.Encrypt([]byte("0123456789abcdef"))
	for _, broken := range [][]byte{nil, whole[:1], whole[:17], whole[:16]} {
		if got, err := tapocam.Decrypt(broken); err == nil {
			t.Errorf("%x is %q", broken, got)
		}
	}
}

func BenchmarkMatch8(b *testing.B) {
	v := tapocam.VectorOf("great_password", "0001020304050607", "1011121314151617", true, "", 0)
	var passwords []string
	for i := range 7 {
		passwords = append(passwords, fmt.Sprintf("password-%d", i))
	}
	passwords = append(passwords, "great_password")
	for b.Loop() {
		if _, ok := tapocam.Match("0001020304050607", "1011121314151617", v.Confirm, passwords...); !ok {
			b.Fatal("not proven")
		}
	}
}
