package localstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestThePasswordOfThePagesIsKeptSealed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if hash, err := s.PagePassword(); err != nil || !hash.IsZero() {
		t.Fatalf("a new store has the hash %v, %v", hash, err)
	}
	for _, phc := range []string{"$argon2id$first", "$argon2id$second"} {
		must(t, s.SetPagePassword(home.NewSecret(phc)))
		hash, err := s.PagePassword()
		must(t, err)
		if hash.Reveal() != phc {
			t.Errorf("the hash is %q, want %q", hash.Reveal(), phc)
		}
	}
	must(t, s.Close())
	raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
	must(t, err)
	if bytes.Contains(raw, []byte("$argon2id$")) {
		t.Error("the hash is in clear text on the disk")
	}
}
