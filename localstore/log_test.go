package localstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// TestNoSecretIsLoggedOrPrinted: not in the log, nor in an error, nor where a store is printed by mistake.
func TestNoSecretIsLoggedOrPrinted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	var output bytes.Buffer
	log := slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
	s, err := localstore.Open(localstore.Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"CanaryTypedPassword", "CanaryOtherPassword", "CanaryEpochSecret-32-bytes-long!"}
	typed, other, epoch := home.NewSecret(secrets[0]), home.NewSecret(secrets[1]), home.NewSecret(secrets[2])
	fails := func(err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		fmt.Fprintf(&output, "%v %+v %#v %s\n", err, err, err, home.HintOf(err))
	}
	works := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	works(s.Enrol(home.Account{ID: "a", NoticeEpoch: 1}, home.Credential{Epoch: 1, Password: typed}))
	works(s.Bind("a", []home.Device{{ID: "mac-1"}}))
	_, err = s.BeginEpoch("a", home.Credential{Epoch: 2, Password: typed, EpochSecret: epoch}, nil, nil)
	works(err)
	_, err = s.BeginEpoch("a", home.Credential{Epoch: 2, EpochSecret: other}, nil, nil)
	fails(err)
	_, err = s.BeginEpoch("a", home.Credential{Epoch: 1, Password: other, EpochSecret: epoch}, nil, nil)
	fails(err)
	fails(s.Enrol(home.Account{ID: "b", NoticeEpoch: 1}, home.Credential{Epoch: 1, Password: other}))
	keys, err := s.HubKeys()
	works(err)
	bound, err := s.BindingSecrets([]home.DeviceID{"mac-1"})
	works(err)
	secrets = append(secrets, keys.Sign.Reveal(), keys.Seal.Reveal(), string(bound["mac-1"].Reveal()))
	held, err := s.Credentials("a")
	works(err)
	for _, v := range []any{s, keys, held, bound} {
		fmt.Fprintf(&output, "%v %+v %#v\n", v, v, v)
		log.Info("printed by mistake", "what", v)
	}
	works(s.Close())

	// Folder and key file open to others are reported when it is opened; what is in the key file is not.
	works(os.Chmod(dir, 0o755))
	works(os.Chmod(filepath.Join(dir, "vault.key"), 0o644))
	s, err = localstore.Open(localstore.Options{Dir: dir, Log: log})
	works(err)
	works(s.Close())
	if n := strings.Count(output.String(), "open to other users"); n != 2 {
		t.Errorf("%d warnings, want 2:\n%s", n, output.String())
	}
	_, err = localstore.Open(localstore.Options{Dir: dir, Log: log, Passphrase: home.NewSecret("CanaryPassphrase")})
	fails(err)
	raw, err := os.ReadFile(filepath.Join(dir, "vault.key"))
	works(err)
	var file struct{ Key []byte }
	works(json.Unmarshal(raw, &file))
	secrets = append(secrets, "CanaryPassphrase", string(file.Key))

	for i, secret := range secrets {
		if len(secret) < 16 {
			t.Fatalf("secret %d is missing", i)
		}
		for _, form := range []string{
			secret, hex.EncodeToString([]byte(secret)),
			base64.RawStdEncoding.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
		} {
			if strings.Contains(strings.ToLower(output.String()), strings.ToLower(form)) {
				t.Errorf("secret %d was printed as %q", i, form)
			}
		}
	}
}
