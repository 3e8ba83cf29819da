package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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

func key(t testing.TB, b byte) seal.Key {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedComesBackForItsKeyAndPlaceOnly(t *testing.T) {
	k, other := key(t, 1), key(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		plain, place := rapid.SliceOf(rapid.Byte()).Draw(t, "plain"), rapid.String().Draw(t, "place")
		box := k.Seal(plain, place)
		got, err := k.Open(box, place)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatal(got, err)
		}
		if len(plain) >= 8 && bytes.Contains(box, plain) {
			t.Fatal("the box shows what is in it")
		}
		if bytes.Equal(box, k.Seal(plain, place)) {
			t.Fatal("the same nonce twice")
		}
		damaged := bytes.Clone(box)
		damaged[rapid.IntRange(0, len(box)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "with"))
		cut := box[:rapid.IntRange(0, len(box)-1).Draw(t, "cut")]
		for what, open := range map[string]func() ([]byte, error){
			"other key":   func() ([]byte, error) { return other.Open(box, place) },
			"other place": func() ([]byte, error) { return k.Open(box, place+"x") },
			"damaged":     func() ([]byte, error) { return k.Open(damaged, place) },
			"cut":         func() ([]byte, error) { return k.Open(cut, place) },
		} {
			if got, err := open(); !errors.Is(err, home.ErrNewKey) || got != nil {
				t.Fatalf("%s: %q, %v", what, got, err)
			}
		}
	})
}

func TestKeyOfWrongLengthIsRefused(t *testing.T) {
	for _, n := range []int{0, 31, 33} {
		if _, err := seal.New(make([]byte, n)); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
}

// load loads a key and identifies it by what it seals.
func load(t *testing.T, s seal.Source, fresh bool) seal.Key {
	t.Helper()
	k, err := s.Load(fresh)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func same(t *testing.T, k, l seal.Key) bool {
	t.Helper()
	_, err := l.Open(k.Seal([]byte("x"), "c"), "c")
	return err == nil
}

func refused(t *testing.T, s seal.Source, fresh bool) {
	t.Helper()
	before, _ := os.ReadDir(filepath.Dir(s.File))
	_, err := s.Load(fresh)
	if !errors.Is(err, home.ErrNewKey) || home.HintOf(err) == "" {
		t.Errorf("%v, hint %q; want home.ErrNewKey and a hint", err, home.HintOf(err))
	}
	if p := s.Passphrase.Reveal(); p != "" && strings.Contains(fmt.Sprint(err), p) {
		t.Error("the passphrase is in the error")
	}
	if after, _ := os.ReadDir(filepath.Dir(s.File)); len(after) != len(before) {
		t.Errorf("a file was made: %v", after)
	}
}

func TestKeyFileIsMadeOnceForItsOwner(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	refused(t, s, false)
	first := load(t, s, true)
	st, err := os.Stat(s.File)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	raw, _ := os.ReadFile(s.File)
	for _, fresh := range []bool{true, false} {
		if !same(t, first, load(t, s, fresh)) {
			t.Error("another key the second time")
		}
	}
	if again, _ := os.ReadFile(s.File); !bytes.Equal(raw, again) {
		t.Error("the key file was written again")
	}
	if left, _ := os.ReadDir(filepath.Dir(s.File)); len(left) != 1 {
		t.Error("left over:", left)
	}
	refused(t, seal.Source{File: s.File, Passphrase: home.NewSecret("an unused passphrase")}, false)
	for _, bad := range []string{
		"", "{", "{}", `{"key":"AAAA"}`, `{"salt":"AAAA","time":0,"memory":1}`,
		`{"salt":"AAAA","time":1,"memory":4294967295}`,
	} {
		if err := os.WriteFile(s.File, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, s, true)
		refused(t, seal.Source{File: s.File, Passphrase: home.NewSecret("horse staple")}, true)
	}
}

func TestPassphraseMakesTheKey(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key"), Passphrase: home.NewSecret("correct horse battery")}
	k := load(t, s, true)
	if !same(t, k, load(t, s, false)) {
		t.Error("the same passphrase gives another key")
	}
	if same(t, k, load(t, seal.Source{File: s.File, Passphrase: home.NewSecret("wrong horse")}, false)) {
		t.Error("another passphrase gives the same key")
	}
	refused(t, seal.Source{File: s.File}, false)
	var held map[string]any
	raw, _ := os.ReadFile(s.File)
	if err := json.Unmarshal(raw, &held); err != nil || held["key"] != nil || held["salt"] == nil ||
		bytes.Contains(raw, []byte("horse")) {
		t.Errorf("the file holds %s", raw)
	}
}

func TestSystemdCredentialIsTheKey(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	credential := filepath.Join(dir, seal.Credential)
	if err := os.WriteFile(credential, []byte("too short"), 0o400); err != nil {
		t.Fatal(err)
	}
	refused(t, s, true)
	write := func(secret string) seal.Key {
		_ = os.Remove(credential)
		if err := os.WriteFile(credential, []byte(secret), 0o400); err != nil {
			t.Fatal(err)
		}
		return load(t, s, false)
	}
	a := write(strings.Repeat("a", 32))
	if !same(t, a, write(strings.Repeat("a", 32))) || same(t, a, write(strings.Repeat("b", 40))) {
		t.Error("the key is not that of the credential")
	}
	if _, err := os.Stat(s.File); err == nil {
		t.Error("a key file was made beside the credential")
	}
	// One that is there and cannot be read is not passed over: a key file would be made, and the data sealed with it.
	_ = os.Remove(credential)
	if err := os.Mkdir(credential, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, s, true)
	// A unit may have other credentials than this.
	_ = os.Remove(credential)
	load(t, s, true)
	if _, err := os.Stat(s.File); err != nil {
		t.Error(err)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	k, err := seal.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	s := seal.Source{File: "f", Passphrase: home.NewSecret(string(secret))}
	for _, v := range []any{
		k, &k, s, &s,
		struct{ k seal.Key }{k},
		struct{ s seal.Source }{s},
		map[string]seal.Key{"k": k},
		[]seal.Key{k},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := strings.ToLower(fmt.Sprintf(verb, v))
			numbers := strings.Trim(fmt.Sprint(secret), "[]")
			var hexes []string
			for _, b := range secret {
				hexes = append(hexes, fmt.Sprintf("0x%x", b))
			}
			for _, form := range []string{
				string(secret), hex.EncodeToString(secret),
				base64.StdEncoding.EncodeToString(secret), numbers, strings.Join(hexes, ", "),
			} {
				if strings.Contains(got, strings.ToLower(form)) {
					t.Errorf("%s of %T prints the key: %s", verb, v, got)
				}
			}
		}
	}
}
