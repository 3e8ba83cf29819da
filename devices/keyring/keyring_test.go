package keyring_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

func listed(ks []keyring.Key) []string {
	var s []string
	for _, k := range ks {
		s = append(s, fmt.Sprintf("%s/%s %s %d", k.Username, k.Password.Reveal(), k.Verdict.State, k.Verdict.Epoch))
	}
	return s
}

func TestKeysAreInOrder(t *testing.T) {
	third := home.Credential{Epoch: 3, Username: "Anna@example.org", Password: home.NewSecret("three")}
	second := home.Credential{Epoch: 2, Username: "anna@example.org", Password: home.NewSecret("two")}
	unknown := home.Credential{Epoch: 1, Username: "anna@example.org"}
	a := home.Account{Epoch: 3}
	c := home.Candidates{Account: a, Credentials: []home.Credential{third, second, unknown}}
	want := []string{
		"Anna@example.org/three current 3", "anna@example.org/two stale 2", "anna@example.org/three wrong-case 3",
		"kasa@tp-link.net/kasaSetup default 0", "test@tp-link.net/test default 0", "/ blank 0",
	}
	if got := listed(keyring.Candidates(c)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want = []string{
		"admin/three current 3", "admin/two stale 2", "admin/admin default 0", "admin/TPL075526460603 default 0",
	}
	if got := listed(keyring.CameraCandidates(c)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want = []string{
		"anna@example.org/two stale 2", "Anna@example.org/three current 3", "anna@example.org/three wrong-case 3",
	}
	if got := listed(keyring.ForMove(home.Move{Account: a, From: second, To: third})); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := keyring.ForMove(home.Move{Account: a, To: third}); len(got) != 5 || got[4].Verdict.State != home.Blank {
		t.Errorf("%q: a device that holds no known credential may hold the factory's", listed(got))
	}
}

func TestEarlierPasswordsAreCandidates(t *testing.T) {
	third := home.Credential{Epoch: 3, Username: "Anna@example.org", Password: home.NewSecret("three")}
	old := home.Credential{Username: "Anna@example.org", Password: home.NewSecret("once")}
	loud := home.Credential{Username: "ANNA@example.org", Password: home.NewSecret("once")}
	a := home.Account{Epoch: 3, Email: "Anna@example.org"}
	want := []string{
		"Anna@example.org/three current 3", "Anna@example.org/once stale 0", "ANNA@example.org/once wrong-case 0",
		"anna@example.org/three wrong-case 3", "anna@example.org/once wrong-case 0", "anna@example.org/once wrong-case 0",
		"kasa@tp-link.net/kasaSetup default 0", "test@tp-link.net/test default 0", "/ blank 0",
	}
	if got := listed(keyring.ForMove(home.Move{
		Account: a, To: third,
		Known: []home.Credential{third, old, loud},
	})); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want = []string{
		"admin/three current 3", "admin/once stale 0", "admin/admin default 0", "admin/TPL075526460603 default 0",
	}
	if got := listed(keyring.CameraForMove(home.Move{
		Account: a, To: third,
		Known: []home.Credential{third, old, loud},
	})); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want = []string{"admin/two stale 2", "admin/three current 3"}
	if got := listed(keyring.CameraForMove(home.Move{
		Account: a,
		From:    home.Credential{Epoch: 2, Password: home.NewSecret("two")}, To: third,
	})); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
