package home_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestWhatADeviceClaimsOfItsOwner has the known values of devices/PROTOCOLS.md, section 6.3.
func TestWhatADeviceClaimsOfItsOwner(t *testing.T) {
	const test, kasa = "720edb77e1947f066e78e008aa59c5b3", "994661e5222b8e5e3e1d90e73a322315"
	for _, c := range []struct {
		owner, email string
		want         home.Match
	}{
		{test, "test@tp-link.net", home.Ours},
		{kasa, "kasa@tp-link.net", home.Ours},
		{kasa, "Kasa@TP-Link.net", home.Ours}, // it was set up in lower case
		{home.OwnerOf("Kasa@TP-Link.net"), "Kasa@TP-Link.net", home.Ours},
		{home.OwnerOf("Kasa@TP-Link.net"), "kasa@tp-link.net", home.Ours}, // words begin with a capital, or are in capitals
		{home.OwnerOf("KASA@TP-LINK.NET"), "Kasa@tp-link.net", home.Ours},
		{home.OwnerOf("kAsA@tp-link.net"), "kasa@tp-link.net", home.Foreign}, // no owner types that
		{home.OwnerOf("Kasa@TP-Link.com"), "kasa@tp-link.net", home.Foreign},
		{test, "kasa@tp-link.net", home.Foreign},
		{home.NoOwner, "kasa@tp-link.net", home.Unbound},
		{"", "kasa@tp-link.net", home.Unknown},
		{test, "", home.Unknown},
	} {
		if got := (home.Device{Owner: c.owner}).Claims(c.email); got != c.want {
			t.Errorf("owner %q, account %q: %s, want %s", c.owner, c.email, got, c.want)
		}
	}
}

// The spelling is that with which the device was set up, so its credential can be made of it.
func TestSpellingIsFoundByTheOwner(t *testing.T) {
	for _, c := range []struct{ email, set, want string }{
		{"anna.smith@example.org", "Anna.Smith@Example.ORG", "Anna.Smith@Example.ORG"},
		{"Anna.Smith@Example.ORG", "anna.smith@example.org", "anna.smith@example.org"},
		{"anna99@example.org", "ANNA99@example.org", "ANNA99@example.org"},
		{"anna@example.org", "anna@example.org", "anna@example.org"},
		{"anna@example.org", "bob@example.org", ""},
		{"a.b.c.d.e.f.g@x.org", "A.b.c.d.e.f.g@x.org", "A.b.c.d.e.f.g@x.org"},
		{"a.b.c.d.e.f.g@x.org", "a.b.c.d.e.f.g@X.org", ""}, // the last of too many words
		{"", "", ""},
	} {
		if got, ok := home.Spelling(c.email, home.OwnerOf(c.set)); got != c.want || ok != (c.want != "") {
			t.Errorf("%s, set up as %s: %q, %t", c.email, c.set, got, ok)
		}
	}
}

func TestSubjectOfADeviceHasItsSpelling(t *testing.T) {
	const email = "anna@example.org"
	old := home.Credential{Epoch: 0, Username: "bob@example.org"}
	s := home.Subject{
		Account:     home.Account{Email: email},
		Credentials: []home.Credential{{Epoch: 2, Username: email}, {Epoch: 1, Username: email}, old},
	}
	for owner, want := range map[string]string{
		home.OwnerOf("Anna@example.org"): "Anna@example.org", home.OwnerOf(email): "", home.NoOwner: "", "": "",
	} {
		got := s.For(home.Device{Owner: owner}).Credentials
		if want == "" {
			if len(got) != 3 {
				t.Errorf("owner %q: %+v", owner, got)
			}
			continue
		}
		if len(got) != 5 || got[0].Username != email || got[3].Username != want || got[3].Epoch != 2 || got[4].Epoch != 1 {
			t.Errorf("owner %q: %+v", owner, got)
		}
	}
	if len(s.Credentials) != 3 {
		t.Error("the subject itself was changed")
	}
}
