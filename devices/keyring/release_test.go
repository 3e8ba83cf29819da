package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Who may receive a password is tested in daemon/home.
func TestASecretIsReleasedWhereTheTermsPermitIt(t *testing.T) {
	secret := home.NewSecret("great_password")
	r := keyring.Recipient{Evidence: home.Evidence{Rank: home.ProvesFirst, Held: home.Stale}}
	if got, err := r.Release(secret); !errors.Is(err, home.ErrNotBound) || got != "" {
		t.Errorf("without terms: %q, %v", got, err)
	}
	r.Terms.Bound = true
	if got, err := r.Release(secret); err != nil || got != "great_password" {
		t.Errorf("with terms: %q, %v", got, err)
	}
}

// reveals lists the files of drivers that read a secret and send it nowhere.
var reveals = []string{
	"iot/rekey.go",       // compares what a device answers with the secrets, so that it is not quoted
	"klap/hash.go",       // compares credentials with a device's proof
	"smart/aesconn.go",   // joins form, name and password for the sealed memory of refused sign-ins
	"tapocam/hash.go",    // compares credentials with a device's proof
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
