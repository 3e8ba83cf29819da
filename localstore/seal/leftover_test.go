package seal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rekeyd/rekeyd/localstore/seal"
)

func TestHalfAKeyFileOfACrashIsNotUsed(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	s := seal.Source{File: filepath.Join(t.TempDir(), "vault.key")}
	if err := os.WriteFile(s.File+".new", []byte("half"), 0o644); err != nil { // open to all, as the new one must not be
		t.Fatal(err)
	}
	k := load(t, s, true)
	if st, err := os.Stat(s.File); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if !same(t, k, load(t, s, false)) {
		t.Fatal("another key the second time")
	}
}
