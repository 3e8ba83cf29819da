package localstore_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestARestoredHubIsAnotherOne(t *testing.T) {
	dir := t.TempDir()
	s := enrolled(t, dir, front, back)
	begin(t, s, 2)
	must(t, observeErr(s, front, home.Verdict{State: home.Current, Epoch: 2}))
	keys, err := s.HubKeys()
	must(t, err)
	ids := []home.DeviceID{front, back}
	secrets, err := s.BindingSecrets(ids)
	must(t, err)
	before, err := s.Account()
	must(t, err)
	must(t, s.Renew("hub-old"))
	must(t, s.Check())
	if now, err := s.HubKeys(); err != nil || now.Sign.Equal(keys.Sign) || now.Seal.Equal(keys.Seal) {
		t.Errorf("the hub has its old keys, %v", err)
	}
	now, err := s.BindingSecrets(ids)
	must(t, err)
	for _, id := range ids {
		if string(now[id].Reveal()) == string(secrets[id].Reveal()) || len(now[id].Reveal()) != 32 {
			t.Errorf("%s has its old binding secret", id)
		}
	}
	if a, err := s.Account(); err != nil || a.Epoch != before.Epoch || a.NoticeEpoch != before.NoticeEpoch {
		t.Errorf("account %+v, %v", a, err)
	}
	if cs, err := s.Credentials(acct); err != nil || len(cs) == 0 || cs[0].Epoch != 2 {
		t.Errorf("credentials %+v, %v", cs, err)
	}
	var waits []home.ErrandKind
	es, err := s.Errands(100)
	must(t, err)
	for _, e := range es {
		waits = append(waits, e.Kind)
	}
	if len(waits) != 3 { // two bindings, and the sign-in of the device that holds the newest epoch
		t.Errorf("errands %v", waits)
	}
	if name, err := s.Replaced(); err != nil || name != "hub-old" {
		t.Errorf("replaced %q, %v", name, err)
	}
	must(t, s.ForgetReplaced())
	if name, err := s.Replaced(); err != nil || name != "" {
		t.Errorf("after it was removed: replaced %q, %v", name, err)
	}
}

func TestTheNextAccountOfTheSameAddressTriesEarlierPasswords(t *testing.T) {
	s := open(t, t.TempDir())
	a := home.Account{ID: "acc-lost", Email: "Anna@example.org", NoticeEpoch: 1, Notice: []byte("n")}
	must(t, s.Enrol(a, home.Credential{Epoch: 1, Username: a.Email, Password: home.NewSecret("password-1")}))
	keys, err := s.HubKeys()
	must(t, err)
	must(t, s.Leave(a.ID))
	if now, err := s.HubKeys(); err != nil || now.Sign.Equal(keys.Sign) {
		t.Errorf("a hub that left has its old keys, %v", err)
	}
	a.ID, a.Email = "acc-new", "anna@example.org"
	must(t, s.Enrol(a, home.Credential{Epoch: 1, Username: a.Email, Password: home.NewSecret("password-9")}))
	cs, err := s.Credentials(a.ID)
	if err != nil || len(cs) != 2 || cs[1].Password.Reveal() != "password-1" || cs[1].Epoch != 0 {
		t.Errorf("%+v, %v", cs, err)
	}
	must(t, s.Leave(a.ID))
	b := home.Account{ID: "acc-of-bob", Email: "bob@example.org", NoticeEpoch: 1, Notice: []byte("n")}
	must(t, s.Enrol(b, home.Credential{}))
	if cs, err := s.Credentials(b.ID); err != nil || len(cs) != 0 {
		t.Errorf("another person's account has %+v, %v", cs, err)
	}
}
