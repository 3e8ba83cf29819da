package localstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestWhatTheOwnerRemembersIsKeptSealedBehindTheEpochs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	pair := func(e home.Epoch, pw string) home.Credential {
		return home.Credential{Epoch: e, Username: "anna@example.org", Password: home.NewSecret(pw)}
	}
	if _, err := s.Remember("a", []home.Credential{pair(0, "x")}); !errors.Is(err, home.ErrNoAccount) {
		t.Errorf("without an account: %v", err)
	}
	if err := s.Enrol(home.Account{ID: "a", NoticeEpoch: 2}, pair(2, "the newest")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time adds nothing
		if _, err := s.Remember("a", []home.Credential{
			pair(0, "canary one"), pair(0, "the newest"), pair(7, "canary two"),
			pair(0, "canary one"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	cs, err := s.Credentials("a")
	for _, c := range cs {
		got = append(got, fmt.Sprintf("%d %s", c.Epoch, c.Password.Reveal()))
	}
	if want := "2 the newest, 0 canary two, 0 canary one"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("%q, %v; want %q", strings.Join(got, ", "), err, want)
	}
	var many []home.Credential
	for i := range 40 {
		many = append(many, pair(0, fmt.Sprint("password ", i)))
	}
	if _, err := s.Remember("a", many); err == nil {
		t.Error("any number of passwords was taken")
	}
	if cs, _ := s.Credentials("a"); len(cs) != 3 {
		t.Errorf("what was refused has left %d credentials", len(cs))
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db")); err != nil || strings.Contains(string(raw), "canary") {
		t.Errorf("a password lies in the file in the clear, or: %v", err)
	}
}
