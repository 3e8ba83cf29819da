package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

func TestPasswordsInTheClearNeedConsent(t *testing.T) {
	secret := home.NewSecret("great_password")
	for _, c := range []struct {
		rank    home.ProofRank
		consent bool
		want    error
	}{
		{home.ProvesFirst, false, nil},
		{home.ProvesFirst, true, nil},
		{home.HashFirst, false, failure.ErrConsent},
		{home.HashFirst, true, nil},
		{home.ToldFirst, false, failure.ErrConsent},
		{home.ToldFirst, true, nil},
		{0, false, failure.ErrConsent},
	} {
		r := keyring.Recipient{Account: home.Account{CleartextBind: c.consent}, Rank: c.rank}
		got, err := r.Release(secret)
		if !errors.Is(err, c.want) || (err == nil) != (got == "great_password") || err != nil && got != "" {
			t.Errorf("%s, consent %t: got %q, %v; want %v", c.rank, c.consent, got, err, c.want)
		}
	}
}

// reveals lists the files of drivers that read a secret and send it nowhere.
var reveals = []string{
	"iot/rekey.go",       // compares what a device says with the secrets, so that it is not quoted
	"klap/hash.go",       // compares credentials with a device's proof
	"tapocam/hash.go",    // the same
	"tpap/credential.go", // derives keys: the device learns whether they agree, and nothing else
	"tpap/signin.go",     // the same
}

// A rule about who receives a password has one place: Recipient.Release. No driver reveals a secret beside it.
func TestDriversRevealNoSecretThemselves(t *testing.T) {
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var found []string
	for _, f := range files {
		name := filepath.ToSlash(strings.TrimPrefix(f, "../"))
		own := strings.HasPrefix(name, "keyring/") || strings.HasPrefix(name, "sim/") ||
			strings.HasPrefix(name, "drivertest/")
		if own || strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), ".Reveal()") {
			found = append(found, name)
		}
	}
	if !slices.Equal(found, reveals) {
		t.Errorf(
			"secrets are revealed in %q, want %q: a secret for a device comes from keyring.Recipient.Release", found, reveals,
		)
	}
}
