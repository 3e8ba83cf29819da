package localstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestATypedPasswordBeginsAnEpochOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := home.Account{ID: "tplink-77", Email: "Anna@example.org", Provider: home.ProviderTPLink}
	first, second := home.NewSecret("first-password-here"), home.NewSecret("second-password-here")
	sess := home.CloudSession{URL: "https://eu.example.org", Token: home.NewSecret("token-to-look-for"), Refresh: home.NewSecret("refresh-to-look-for")}
	typed := func(pw home.Secret, want home.Epoch) {
		t.Helper()
		e, err := s.Typed(a, a.Email, pw, sess)
		if err != nil || e != want {
			t.Fatalf("epoch %d, want %d: %v", e, want, err)
		}
	}
	typed(first, 1)
	typed(first, 1)
	d := home.Device{ID: "mac-50c7bf010203"}
	if err := s.Bind(a.ID, []home.Device{d}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Observe(d.ID, home.Verdict{State: home.Current, Epoch: 1}, time.Now()); err != nil {
		t.Fatal(err)
	}
	typed(second, 2)
	if b, err := s.Binding(d.ID); err != nil || b.Verdict.State != home.Stale || b.Verdict.Epoch != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	typed(first, 3) // back again is a change, too
	creds, err := s.Credentials(a.ID)
	if err != nil || len(creds) != 3 || !creds[0].Password.Equal(first) || !creds[1].Password.Equal(second) || creds[0].Username != a.Email {
		t.Errorf("%v, %v", creds, err)
	}
	if _, err := s.Typed(home.Account{ID: "tplink-78"}, "x", first, sess); !errors.Is(err, home.ErrForeign) {
		t.Errorf("another account: %v", err)
	}

	if got, err := s.Session(a.ID); err != nil || got != sess {
		t.Errorf("%+v, %v", got, err)
	}
	ended := sess
	ended.Ended = true
	if err := s.Renewed(a.ID, sess, ended); err != nil {
		t.Fatal(err)
	}
	if err := s.Renewed(a.ID, sess, sess); !errors.Is(err, home.ErrOldEpoch) {
		t.Errorf("what became of an older session counts: %v", err)
	}
	if es, err := s.History(1); err != nil || es[0].What != "cloud ended the session" {
		t.Errorf("%v, %v", es, err)
	}
	if err := s.Leave(a.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Session(a.ID); err != nil || !got.Token.IsZero() {
		t.Errorf("a session outlived the membership: %v", err)
	}
	typed(first, 3) // what the vault knows of a former membership counts on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"token-to-look-for", "refresh-to-look-for", "first-password-here"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%q is in the clear on disk", secret)
		}
	}
}
