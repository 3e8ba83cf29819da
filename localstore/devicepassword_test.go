package localstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestADevicesOwnPasswordIsKeptSealedWhileItIsBound(t *testing.T) {
	const id = "mac-000000000001"
	dir := t.TempDir()
	s := enrolled(t, dir, id)
	must(t, s.SaveSignIns(id, home.SignIns{Verifier: "of the camera before"}))
	must(t, s.SetDevicePassword(id, home.NewSecret("canary of its web page")))
	s = reopen(t, s, dir)
	kept, err := s.SignIns(id)
	must(t, err)
	equal(t, "sign-ins after another password was given", kept, home.SignIns{})
	sub, err := s.Subject(id)
	must(t, err)
	equal(t, "the device's password", sub.DevicePassword, home.NewSecret("canary of its web page"))
	if raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db")); err != nil || strings.Contains(string(raw), "canary") {
		t.Errorf("it lies in the file in the clear, or: %v", err)
	}
	must(t, s.Unbind([]home.DeviceID{id}))
	if err := s.SetDevicePassword(id, home.NewSecret("x")); !errors.Is(err, home.ErrNotFound) {
		t.Errorf("of a device that is not bound: %v", err)
	}
	must(t, s.Bind(acct, []home.Device{{ID: id}}))
	sub, err = s.Subject(id)
	must(t, err)
	equal(t, "the device's password after it was unbound", sub.DevicePassword, home.Secret{})
}

// A camera signs in at the vendor's cloud with the password that it receives, so that cloud must have accepted it here.
func TestTheVendorsCloudAcceptsWhileItsSessionLasts(t *testing.T) {
	s := open(t, t.TempDir())
	accepted := func() bool {
		t.Helper()
		sub, err := s.Subject("mac-000000000001")
		must(t, err)
		return sub.Accepted
	}
	a := home.Account{ID: "tplink-1", Provider: home.TPLink, Email: "anna@example.org"}
	c := home.Credential{Username: a.Email, Password: home.NewSecret("first password")}
	_, _, err := s.EnrolCloud(a, c, home.CloudSession{URL: "https://cloud", Token: home.NewSecret("t")})
	must(t, err)
	if !accepted() {
		t.Error("not after a sign-in")
	}
	must(t, s.SaveCloudSession(a.ID, home.CloudSession{URL: "https://cloud"}))
	if accepted() {
		t.Error("after the cloud has ended it")
	}
}
