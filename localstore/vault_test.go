package localstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func epochs(t testing.TB, cs []home.Credential, err error) string {
	t.Helper()
	must(t, err)
	var es []home.Epoch
	for _, c := range cs {
		es = append(es, c.Epoch)
	}
	return fmt.Sprint(es)
}

func TestATypedPasswordFillsInAGrantThatHadNone(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir)
	secretOnly := credential(3)
	secretOnly.Password = home.Secret{}
	must(t, second(s.BeginEpoch(acct, secretOnly, []byte("3"), []byte("{}"))))
	typed := home.Credential{Epoch: 3, Username: "Anna@example.org", Password: home.NewSecret("typed")}
	must(t, s.Enrol(account(3), typed))
	s = reopen(t, s, dir)
	cs, err := s.Credentials(acct)
	if got := epochs(t, cs, err); got != "[3 1]" {
		t.Fatalf("credentials of %s", got)
	}
	secretOnly.Password = home.NewSecret("typed")
	if cs[0] != secretOnly || cs[1] != credential(1) {
		t.Fatal("a credential came back as another")
	}
	// An account whose name begins like this one is another.
	must(t, s.Leave(acct))
	other := account(9)
	other.ID = acct + "/x"
	must(t, s.Enrol(other, credential(9)))
	cs, err = s.Credentials(acct)
	if got := epochs(t, cs, err); got != "[3 1]" {
		t.Fatalf("credentials of %s", got)
	}
}

func TestCredentialsAreKeptWhileADeviceNeedsThem(t *testing.T) {
	s := enrolled(t, t.TempDir(), front, back)
	for e := home.Epoch(2); e <= 6; e++ {
		begin(t, s, e)
	}
	forget := func(keep int, want string) {
		t.Helper()
		_, err := s.ForgetCredentials(acct, keep)
		must(t, err)
		cs, err := s.Credentials(acct)
		if got := epochs(t, cs, err); got != want {
			t.Fatalf("left %s, want %s", got, want)
		}
	}
	observe(t, s, front, at(home.Stale, 2))
	forget(1, "[6 5 4 3 2 1]") // what back holds is unknown
	observe(t, s, back, at(home.Stale, 5))
	_, err := s.Intend(back, 4, 6, noon)
	must(t, err)
	forget(6, "[6 5 4 3 2 1]")
	forget(5, "[6 5 4 3 2]")
	forget(1, "[6 5 4 2]") // 2 is held, 4 may be, 5 is
	observe(t, s, back, at(home.Current, 6))
	forget(1, "[6 2]")
	observe(t, s, front, at(home.Current, 6))
	forget(0, "[6]") // never the newest
	must(t, s.Enrol(account(7), home.Credential{Epoch: 7, Password: home.NewSecret("typed before its grant")}))
	must(t, s.Unbind([]home.DeviceID{front, back}))
	forget(1, "[7 6]") // nor that of the epoch which the account is at
	wants(t, second(s.ForgetCredentials("acc-2", 1)), home.ErrNoAccount)
}

// TestNoSecretIsInTheClear looks for everything secret in everything on disk, as it is and as text would hold it.
func TestNoSecretIsInTheClear(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	canaries := map[string]string{
		"typed password": "CanaryTypedPassword",
		"password":       "CanaryGrantPassword",
		"epoch secret":   "CanaryEpochSecret32bytes-padding",
	}
	must(
		t,
		s.Enrol(
			account(1),
			home.Credential{Epoch: 1, Username: "Anna@example.org", Password: home.NewSecret(canaries["typed password"])},
		),
	)
	must(t, s.Bind(acct, []home.Device{device(front)}))
	c := home.Credential{
		Epoch:       2,
		Username:    "Anna@example.org",
		Password:    home.NewSecret(canaries["password"]),
		EpochSecret: home.NewSecret(canaries["epoch secret"]),
	}
	must(t, second(s.BeginEpoch(acct, c, nil, nil)))
	observe(t, s, front, at(home.Current, 2))
	keys, err := s.HubKeys()
	must(t, err)
	secrets, err := s.BindingSecrets([]home.DeviceID{front})
	must(t, err)
	canaries["signing seed"], canaries["sealing seed"] = keys.Sign.Reveal(), keys.Seal.Reveal()
	canaries["binding secret"] = string(secrets[front].Reveal())
	var copied bytes.Buffer
	must(t, s.Snapshot(&copied))
	must(t, s.Close())

	disk := map[string][]byte{"snapshot": copied.Bytes()}
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if disk[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(disk["rekeyd.db"], []byte("Anna@example.org")) ||
		!bytes.Contains(disk["rekeyd.db"], []byte(front)) {
		t.Fatal("the search finds nothing at all")
	}
	for name, raw := range disk {
		for what, secret := range canaries {
			for form, text := range map[string]string{
				"as it is": secret, "hex": hex.EncodeToString([]byte(secret)),
				"base64":     base64.RawStdEncoding.EncodeToString([]byte(secret)),
				"URL base64": base64.RawURLEncoding.EncodeToString([]byte(secret)),
			} {
				if len(secret) < 16 || bytes.Contains(raw, []byte(text)) ||
					bytes.Contains(bytes.ToLower(raw), bytes.ToLower([]byte(text))) {
					t.Errorf("%s holds the %s, %s", name, what, form)
				}
			}
		}
	}
}
