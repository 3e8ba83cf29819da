package cloudlink_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/device"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// savedService runs a house whose hub is two epochs ahead of a backup of the account service, and restores the backup.
func savedService(t *testing.T) (*house, *hub) {
	t.Helper()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	b.bind(3)
	b.settled(1, time.Minute)
	h.stop()
	path := filepath.Join(h.dir, "account.db")
	saved, err := os.ReadFile(path)
	must(t, err)
	h.start()
	h.login(password)
	for e, pw := range []string{"second-Horse-Battery", "third-Horse-Battery"} {
		h.reset(pw)
		b.waitEpoch(home.Epoch(e+2), time.Minute)
		b.see(home.Epoch(e + 2))
		b.settled(home.Epoch(e+2), time.Minute)
	}
	h.stop()
	must(t, os.WriteFile(path, saved, 0o600))
	h.start()
	eventually(t, time.Minute, "the hub reports that the service is older", func() bool {
		up, why := b.link.State()
		return !up && strings.Contains(why, "older than this hub") && strings.Contains(why, "rekeyd login")
	})
	return h, b
}

// The service was restored from a backup, and knows an older password. Its owner signs in with that: the account
// continues behind the newest epoch that the hub has, and no epoch is used a second time.
func TestALoginContinuesAServiceFromABackup(t *testing.T) {
	t.Parallel()
	h, b := savedService(t)
	h.login(password)
	b.enrol()
	h.login(password) // the new epoch ended the session
	b.waitEpoch(4, time.Minute)
	b.see(4)
	b.settled(4, time.Minute)
	if up, why := b.link.State(); !up {
		t.Errorf("the link is down: %s", why)
	}
	cs, err := b.store.Credentials(b.account)
	must(t, err)
	if cs[0].Epoch != 4 || cs[0].Password.Reveal() != password {
		t.Errorf("the newest credential is of epoch %d, want 4 with the password of the login", cs[0].Epoch)
	}
	h.reset("fifth-Horse-Battery")
	b.waitEpoch(5, time.Minute)
	b.see(5)
	b.settled(5, time.Minute)
}

// A change of the password before that login continues there, too: the hub has shown the service the notice.
func TestAChangeContinuesAServiceFromABackup(t *testing.T) {
	t.Parallel()
	h, b := savedService(t)
	h.reset("fourth-Horse-Battery")
	eventually(t, time.Minute, "the notice of epoch 4", func() bool {
		a, err := b.store.Account()
		must(t, err)
		return a.NoticeEpoch == 4
	})
	b.enrol()
	b.waitEpoch(4, time.Minute)
	b.see(4)
	b.settled(4, time.Minute)
}

// After the backup the service began an epoch that the hub knows under another notice: a fork of the chain.
func TestALoginEndsAFork(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	b.bind(1)
	b.settled(1, time.Minute)
	h.stop()
	path := filepath.Join(h.dir, "account.db")
	saved, err := os.ReadFile(path)
	must(t, err)
	h.start()
	h.reset("second-Horse-Battery")
	b.waitEpoch(2, time.Minute)
	b.stop()
	h.stop()
	must(t, os.WriteFile(path, saved, 0o600))
	h.start()
	h.reset("other-Horse-Battery") // epoch 2 again, with another notice
	b.start()
	eventually(t, time.Minute, "the hub reports the fork", func() bool {
		up, why := b.link.State()
		return !up && strings.Contains(why, "rekeyd login")
	})
	b.enrol()
	h.login("other-Horse-Battery")
	b.waitEpoch(3, time.Minute)
	b.see(3)
	b.settled(3, time.Minute)
}

// A native device has replaced its sealing key since the backup, too. It enrols again by itself, once the service
// continues behind the device's newest notice.
func TestANativeDeviceFollowsAServiceFromABackup(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	b := h.hub(hasty)
	b.enrol()
	n := startNative(t, h, &device.Volatile{})
	a, err := b.store.Account()
	must(t, err)
	if code := n.join(b.id, a, h.brokers()); code != "" {
		t.Fatalf("join refused: %s", code)
	}
	lamp := home.Device{ID: n.d.ID(), Kind: home.Plug, Protocol: home.Native, Name: "lamp"}
	must(t, b.store.Bind(b.account, []home.Device{lamp}))
	b.link.Wake()
	n.holds(1)
	h.stop()
	path := filepath.Join(h.dir, "account.db")
	saved, err := os.ReadFile(path)
	must(t, err)
	h.start()
	for e, pw := range []string{"second-Horse-Battery", "third-Horse-Battery"} {
		h.reset(pw)
		b.waitEpoch(home.Epoch(e+2), time.Minute)
		n.holds(home.Epoch(e + 2))
	}
	h.stop()
	must(t, os.WriteFile(path, saved, 0o600))
	h.start()
	h.login(password)
	eventually(t, time.Minute, "the hub reports that the service is older", func() bool {
		up, why := b.link.State()
		return !up && strings.Contains(why, "older than this hub")
	})
	b.enrol()
	h.login(password) // the new epoch ended the session
	b.waitEpoch(4, time.Minute)
	n.holds(4)
	h.reset("fifth-Horse-Battery")
	n.holds(5)
}
