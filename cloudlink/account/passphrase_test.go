package account_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAPassphraseSealsTheState(t *testing.T) {
	dir := t.TempDir()
	open := func(passphrase string) error {
		s, err := account.New(account.Options{
			Dir: dir, BaseURL: "http://127.0.0.1:1", Brokers: []string{"mqtt://127.0.0.1:1"}, Mail: &spool{}, Log: slog.New(slog.DiscardHandler),
			Passphrase: home.NewSecret(passphrase),
		})
		if err != nil {
			return err
		}
		return s.Close()
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
