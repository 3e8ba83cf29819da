package localstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestAnAccountAtTheVendorsCloudCountsItsPasswords(t *testing.T) {
	s := open(t, t.TempDir())
	a := home.Account{ID: "tplink-1", Provider: home.TPLink, Email: "Anna@example.org"}
	enrol := func(pw string) home.Epoch {
		t.Helper()
		e, _, err := s.EnrolCloud(
			a,
			home.Credential{Username: a.Email, Password: home.NewSecret(pw)},
			home.CloudSession{URL: "https://x", Token: home.NewSecret("t-" + pw)},
		)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := enrol("one"); e != 1 {
		t.Errorf("epoch %d", e)
	}
	if e := enrol("one"); e != 1 {
		t.Errorf("the same password again: epoch %d", e)
	}
	if err := s.Bind(a.ID, []home.Device{{ID: "mac-1"}}); err != nil {
		t.Fatal(err)
	}
	b, err := s.Observe("mac-1", home.Verdict{State: home.Current, Epoch: 1}, 0, time.Now())
	if err != nil || !b.Current(1) {
		t.Errorf("what the device proves is all that can be seen: %+v, %v", b, err)
	}
	if es, _ := s.Errands(10); len(es) != 0 {
		t.Errorf("not recorded: %v", es)
	}
	if err := s.BindLater(a.ID, true); err != nil {
		t.Fatal(err)
	}
	if e := enrol("two"); e != 2 {
		t.Errorf("another password: epoch %d", e)
	}
	if b, _ := s.Binding("mac-1"); b.Verdict.State != home.Stale || b.Verdict.Epoch != 1 {
		t.Errorf("after that: %+v", b.Verdict)
	}
	if now, err := s.Account(); err != nil || !now.BindLater {
		t.Errorf("the owner's order to bind later ended: %v", err)
	}
	cs, err := s.Credentials(a.ID)
	if err != nil || len(cs) != 2 || cs[0].Password.Reveal() != "two" || cs[1].Epoch != 1 {
		t.Errorf("%d credentials, %v", len(cs), err)
	}
	if c, err := s.CloudSession(a.ID); err != nil || c.Token.Reveal() != "t-two" {
		t.Errorf("session at %s, %v", c.URL, err)
	}
	if err := s.SaveCloudSession(a.ID, home.CloudSession{URL: "https://y"}); err != nil {
		t.Fatal(err)
	}
	if c, err := s.CloudSession(a.ID); err != nil || !c.Token.IsZero() || c.URL != "https://y" {
		t.Errorf("an ended session: %v", err)
	}
	other := a
	other.ID = "tplink-2"
	if _, _, err := s.EnrolCloud(other, cs[0], home.CloudSession{}); !errors.Is(err, home.ErrForeign) {
		t.Errorf("another account: %v", err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

func TestALockIsRememberedWhileTheCameraIsAway(t *testing.T) {
	s := open(t, t.TempDir())
	a := home.Account{ID: "tplink-1", Provider: home.TPLink, Email: "Anna@example.org"}
	if _, _, err := s.EnrolCloud(a, home.Credential{Username: a.Email, Password: home.NewSecret("one")},
		home.CloudSession{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(a.ID, []home.Device{{ID: "mac-1"}}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []home.Verdict{
		{State: home.LockedOut, Until: time.Now().Add(time.Hour)},
		{State: home.Unreachable},
	} {
		if _, err := s.Observe("mac-1", v, 0, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.Spend("mac-1"); !errors.Is(err, home.ErrBudget) {
			t.Errorf("after %s: %v", v.State, err)
		}
	}
}

func TestAReturnKeepsWhatTheVaultHolds(t *testing.T) {
	s := open(t, t.TempDir())
	a := home.Account{ID: "tplink-1", Provider: home.TPLink, Email: "Anna@example.org"}
	for i, pw := range []string{"one", "two"} {
		if i == 1 {
			if err := s.Leave(a.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.EnrolCloud(a, home.Credential{Username: a.Email, Password: home.NewSecret(pw)},
			home.CloudSession{}); err != nil {
			t.Fatal(err)
		}
	}
	if cs, err := s.Credentials(a.ID); err != nil || len(cs) != 2 {
		t.Errorf("%d credentials, %v", len(cs), err)
	}
}
