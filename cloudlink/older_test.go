package cloudlink_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// copyOf returns a directory with copies of files of testdata.
func copyOf(t *testing.T, from string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join("testdata", from, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	return dir
}

// The stores in testdata/6585440 were written by the binary of that commit: "rekeyd run" with its own account service,
// two plugs and a camera that "bind --all" bound, and one forgotten password. The password is this package's; the one
// before was earlier-Horse-Battery. Names of members were made in another way then, so the service knows the hub no
// more. The hub keeps its vault and its bindings, and asks its owner for one login.
func TestTheStoresOfAnOlderVersionNeedOneLogin(t *testing.T) {
	t.Parallel()
	h := openOn(t, copyOf(t, "6585440", "account.db", "account.key"), "")
	h.login(password)
	b := h.hubOn(copyOf(t, "6585440", "rekeyd.db", "vault.key"), func(o *cloudlink.Options) { o.Brokers = h.brokers() })
	eventually(t, time.Minute, "it asks for a login", func() bool {
		up, why := b.link.State()
		return !up && strings.Contains(why, "run rekeyd login")
	})

	a, err := b.store.Account()
	must(t, err)
	cs, err := b.store.Credentials(a.ID)
	must(t, err)
	var passwords []string
	for _, c := range cs {
		passwords = append(passwords, c.Password.Reveal())
	}
	if want := []string{password, "earlier-Horse-Battery"}; a.Epoch != 2 || !slices.Equal(passwords, want) {
		t.Errorf("epoch %d with the passwords %q, want %q", a.Epoch, passwords, want)
	}
	bs, err := b.store.Bindings()
	must(t, err)
	for _, x := range bs {
		if x.DeviceEpoch != 2 {
			t.Errorf("%s holds epoch %d, want 2", x.Device, x.DeviceEpoch)
		}
		b.devices = append(b.devices, x.Device)
	}
	if want := []home.DeviceID{
		"mac-1c61b4350003", "mac-50c7bf350001", "mac-50c7bf350002",
	}; !slices.Equal(b.devices, want) {
		t.Fatalf("the devices %q are bound, want %q", b.devices, want)
	}

	b.enrol()
	b.settled(2, time.Minute)
	h.reset("third-Horse-Battery") // the binding secrets of both stores still agree: each sign-in is proved with them
	b.waitEpoch(3, time.Minute)
	b.see(3)
	b.settled(3, time.Minute)
}
