package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

func key(t testing.TB, fill byte) seal.Key {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOnlyTheSameKeyAndPlaceOpen(t *testing.T) {
	a, b := key(t, 1), key(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		place, other := rapid.String().Draw(t, "place"), rapid.String().Draw(t, "other")
		box := a.Seal(plain, place)
		if got, err := a.Open(box, place); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		if bytes.Equal(box, a.Seal(plain, place)) {
			t.Fatal("the same box twice: the nonce repeats")
		}
		if place != other {
			if _, err := a.Open(box, other); !errors.Is(err, home.ErrNewKey) {
				t.Fatalf("in another place: %v", err)
			}
		}
		if _, err := b.Open(box, place); !errors.Is(err, home.ErrNewKey) {
			t.Fatalf("with another key: %v", err)
		}
		box[rapid.IntRange(0, len(box)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, err := a.Open(box, place); !errors.Is(err, home.ErrNewKey) {
			t.Fatalf("damaged: %v", err)
		}
	})
	for n := range 60 {
		if _, err := a.Open(make([]byte, n), "p"); !errors.Is(err, home.ErrNewKey) {
			t.Fatalf("%d zeros: %v", n, err)
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	secret := bytes.Repeat([]byte("K"), 32)
	k, err := seal.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if _, err := seal.New(secret[:31]); err == nil || strings.Contains(err.Error(), "KK") {
		t.Errorf("a short key: %v", err)
	}
}

// sameKey tells whether two sources give the same key.
func sameKey(t *testing.T, a, b seal.Key) bool {
	t.Helper()
	_, err := b.Open(a.Seal([]byte("x"), "p"), "p")
	return err == nil
}

func load(t *testing.T, s seal.Source, fresh bool) seal.Key {
	t.Helper()
	k, err := s.Load(fresh)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyFileIsMadeOnceAndOnlyForNewData(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	_, err := s.Load(false)
	if !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
		t.Fatalf("missing for old data: %v", err)
	}
	if _, err := os.Stat(s.File); err == nil {
		t.Fatal("a key was made for data that another key sealed")
	}
	if err := os.WriteFile(s.File+".new", []byte("half"), 0o644); err != nil { // of a crash, open to all
		t.Fatal(err)
	}
	a := load(t, s, true)
	if st, err := os.Stat(s.File); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if !sameKey(t, a, load(t, s, false)) || !sameKey(t, a, load(t, s, true)) {
		t.Fatal("the key file gives another key the second time")
	}
	other := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	if sameKey(t, a, load(t, other, true)) {
		t.Fatal("two key files give the same key")
	}
}

func TestMalformedKeyFileIsRefused(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for name, raw := range map[string]string{
		"empty": "", "text": "hello", "no key": "{}", "short key": `{"key":"AAAA"}`,
		"no time":  `{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","memory":1024}`,
		"too dear": `{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","memory":4294967295,"time":4294967295}`,
	} {
		s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key"), Passphrase: home.NewSecret("p")}
		if err := os.WriteFile(s.File, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(true); !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(s.File); string(got) != raw {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestPassphraseMakesTheKey(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	const phrase = "correct horse battery staple"
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key"), Passphrase: home.NewSecret(phrase)}
	a := load(t, s, true)
	if !sameKey(t, a, load(t, s, false)) {
		t.Fatal("the same passphrase gives another key")
	}
	raw, err := os.ReadFile(s.File)
	if err != nil || bytes.Contains(raw, []byte(phrase)) || bytes.Contains(raw, []byte(`"key"`)) {
		t.Fatalf("the file holds more than salt and parameters: %v", err)
	}
	wrong := seal.Source{File: s.File, Passphrase: home.NewSecret("wrong")}
	if sameKey(t, a, load(t, wrong, false)) {
		t.Fatal("another passphrase gives the same key")
	}
	if _, err := (seal.Source{File: s.File}).Load(false); !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
		t.Fatalf("without the passphrase: %v", err)
	}
	plain := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	load(t, plain, true)
	plain.Passphrase = home.NewSecret(phrase)
	if _, err := plain.Load(false); !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
		t.Fatalf("a passphrase for a key that needs none: %v", err)
	}
}

func TestSystemdCredentialIsTheKey(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	credential := filepath.Join(dir, seal.Credential)
	if err := os.WriteFile(credential, bytes.Repeat([]byte("c"), 40), 0o400); err != nil {
		t.Fatal(err)
	}
	if !sameKey(t, load(t, s, true), load(t, s, false)) {
		t.Fatal("the same credential gives another key")
	}
	if _, err := os.Stat(s.File); err == nil {
		t.Fatal("a key file was made beside the credential")
	}
	if err := errors.Join(os.Chmod(credential, 0o600), os.WriteFile(credential, []byte("short"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(true); !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
		t.Fatalf("a short credential: %v", err)
	}
	if err := os.Remove(credential); err != nil {
		t.Fatal(err)
	}
	load(t, s, true) // a unit with other credentials: the key file serves
}
