package boltstore_test

import (
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAPassphraseSealsTheState(t *testing.T) {
	dir := t.TempDir()
	open := func(passphrase string) error {
		s, err := boltstore.Open(dir, home.NewSecret(passphrase))
		if err != nil {
			return err
		}
		_, err = s.Identity()
		return errors.Join(err, s.Close())
	}
	if err := open("correct-horse"); err != nil {
		t.Fatal(err)
	}
	if err := open("correct-horse"); err != nil {
		t.Errorf("the same passphrase: %v", err)
	}
	for _, other := range []string{"", "another-horse"} {
		if err := open(other); !errors.Is(err, home.ErrNewKey) {
			t.Errorf("passphrase %q: %v", other, err)
		}
	}
}
