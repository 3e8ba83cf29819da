package klap

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

func hexed(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func count(from byte) []byte {
	b := make([]byte, seedSize)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

// TestVectors has those of devices/PROTOCOLS.md, section 7: computed with node, and by an independent implementation.
func TestVectors(t *testing.T) {
	local, remote := count(0), count(16)
	for _, c := range []struct {
		v                                        Version
		auth, server, client, key, iv, sig, body string
		seq                                      int32
	}{
		{
			V1, "474728be8bb983216b5b73ae1f646147", "7c10489c80f0713f4bc0275f2612e432b210f2b7c28b3b03bf95f48987ab0ce9",
			"d753dabd7e5e9029b7423eab85f5a5babd3d5b6ad285ff673e63c537866e571f", "b1c5933d0859867e55173421f834dba3",
			"37e636d51a250a3618a5e9cd",
			"469764c622d147811141cf744b4c12c14f31e2665e3a8938de2abe33",
			"d300e2b41e0d9fe0b7e7e4fd4b4487c212462f35754ea214e2ca8cca359df2a4709f069b3cbc27118a85389b551273398c73a5f4023db4" +
				"f5f44da51836402abd",
			594641584,
		},
		{
			V2, "98affa12cd82d89b4ca3e89d6513ac1e914461bb28683d9a6dcd8dac214e22c4",
			"2a4200a6ffdfdca1d144314ed38d74be7e22e00e1f002b8a1e04adf9fbf5960c",
			"33629671c324a51eecf382a15735ec8005bb3fc7e6146833ad67baf346ee97d9", "0eb3e52fa1b446d10af0b754a8e7ed36",
			"0a528f770130884bbb9f20c5",
			"6b46fbf64c1801b5008c9d922d1fd8f768cdaa5bce72d605792ad139",
			"90d314b06eaa6f8b3d7778a83fb89fe23ddcc61ec3e60742341fab53e4e857336f47af044efea6418d8041170d3eed6753b7a192df36ce" +
				"308b2d07b52ca74f23",
			1654156118,
		},
	} {
		auth := c.v.authHash("user@example.com", "great_password")
		s := newSessionCipher(local, remote, auth)
		got := [][]byte{auth, c.v.deviceHash(local, remote, auth), c.v.clientHash(local, remote, auth), s.key, s.iv, s.sig}
		for i, want := range []string{c.auth, c.server, c.client, c.key, c.iv, c.sig} {
			if !bytes.Equal(got[i], hexed(t, want)) {
				t.Errorf("version %d, value %d: %x, want %s", c.v, i, got[i], want)
			}
		}
		if s.seq != c.seq {
			t.Errorf("version %d begins at %d, want %d", c.v, s.seq, c.seq)
		}
		seq, body := s.seal([]byte(`{"method":"get_device_info"}`))
		if seq != c.seq+1 || !bytes.Equal(body, hexed(t, c.body)) {
			t.Errorf("version %d, first request %d %x", c.v, seq, body)
		}
		// The answer has the same layout and number, so a sealed request opens.
		if plain, err := s.open(body); err != nil || string(plain) != `{"method":"get_device_info"}` {
			t.Errorf("%q %v", plain, err)
		}
		for name, spoilt := range map[string][]byte{
			"nothing": nil, "no block": body[:hashSize], "half a block": body[:len(body)-8],
			"another signature": append([]byte{1}, body[1:]...),
			"another block":     append(bytes.Clone(body[:len(body)-1]), 7),
			"too long":          append(bytes.Clone(body), make([]byte, 16)...),
		} {
			if _, err := s.open(spoilt); err == nil {
				t.Errorf("version %d: %s was accepted", c.v, name)
			}
		}
	}
	for _, c := range []struct{ user, pw, v1, v2 string }{
		{
			"kasa@tp-link.net", "kasaSetup", "74b751bdd208bc155ae2a6d4167cc44d",
			"49fc4839a2733ffbf464337648f65dc411778d4c03ec82c5e4cccc682163fa64",
		},
		{
			"test@tp-link.net", "test", "a7317ea07dd83e3393fb702d9bf309a7",
			"7d5ae9ac18f5bb37843a4577867dd4348d8dff26c4b261ebff1b74d88adc063b",
		},
		{"", "", "5873dd45edd01f09c1ef2e7819369e8e", "b8628ab91c74f531603f6d5b45e730e54c123a7247b8978272c03f1e13560cea"},
	} {
		if got := hex.EncodeToString(V1.authHash(c.user, c.pw)); got != c.v1 {
			t.Errorf("%q: %s", c.user, got)
		}
		if got := hex.EncodeToString(V2.authHash(c.user, c.pw)); got != c.v2 {
			t.Errorf("%q: %s", c.user, got)
		}
	}
}

func TestSequenceNumberWraps(t *testing.T) {
	s := newSessionCipher(count(0), count(1), count(2))
	s.seq = 1<<31 - 1
	if seq, body := s.seal([]byte("x")); seq != -1<<31 {
		t.Errorf("after the highest comes %d", seq)
	} else if _, err := s.open(body); err != nil {
		t.Error(err)
	}
}

// eight are as many candidates as a vault usually holds.
func eight() []keyring.Key {
	var ks []keyring.Key
	for i := range 8 {
		ks = append(
			ks, keyring.Key{Username: "Anna@example.org", Password: home.NewSecret("great_password-" + string(rune('0'+i)))},
		)
	}
	return ks
}

func BenchmarkMatchAmongEight(b *testing.B) {
	ks := eight()
	p := Proof{local: count(0), remote: count(16), hash: make([]byte, hashSize)}
	for b.Loop() {
		if _, ok := p.Match(ks); ok {
			b.Fatal("found")
		}
	}
}

func FuzzAnswer(f *testing.F) {
	s := newSessionCipher(count(0), count(1), count(2))
	_, body := s.seal([]byte(`{"error_code":0}`))
	f.Add(body)
	f.Add([]byte{})
	f.Add(make([]byte, 48))
	f.Fuzz(func(t *testing.T, raw []byte) {
		plain, err := s.open(raw)
		if err == nil && len(plain) >= len(raw) {
			t.Errorf("%d bytes out of %d", len(plain), len(raw))
		}
	})
}
