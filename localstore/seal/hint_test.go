package seal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

func TestTheHintNamesTheSourceOfTheKey(t *testing.T) {
	dir := t.TempDir()
	credential := filepath.Join(dir, seal.Credential)
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	check := func(name, wantErr, wantHint string) {
		t.Helper()
		_, err := s.Load(false)
		hint := home.HintOf(err)
		if err == nil || !strings.Contains(err.Error(), wantErr) || !strings.Contains(hint, wantHint) {
			t.Errorf("%s: %v; hint %q; want %q and %q", name, err, hint, wantErr, wantHint)
		}
		if inBackup := wantErr == s.File; strings.Contains(hint, "backup") != inBackup {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := os.Mkdir(credential, 0o700); err != nil { // cannot be read, by root either
		t.Fatal(err)
	}
	check("an unreadable credential", credential, "see that this user may read it")
	if err := os.Remove(credential); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(credential, []byte("too short"), 0o400); err != nil {
		t.Fatal(err)
	}
	check("a short credential", credential, "the file that LoadCredential= of the unit names")

	t.Setenv("CREDENTIALS_DIRECTORY", "")
	check("no key at all", s.File, "CREDENTIALS_DIRECTORY=/etc/rekeyd")
}
