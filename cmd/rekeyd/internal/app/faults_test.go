package app

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// fault breaks something in a house. When it returns, the house may still be broken: heal repairs what does not repair
// itself.
type fault struct {
	name string
	do   func(*fakeHouse)
}

// allFaults are drawn from with equal probability. Never changed.
var allFaults = []fault{
	{"reset", func(h *fakeHouse) { h.reset(false) }},
	{"reset, old password exposed", func(h *fakeHouse) { h.reset(true) }},
	{"two resets at once", (*fakeHouse).twoResets},
	{"change at the app", (*fakeHouse).changePassword},
	{"change disowned", (*fakeHouse).disown},
	{"device off", (*fakeHouse).deviceOff},
	{"device at a new address", (*fakeHouse).newAddress},
	{"firmware changes protocol", (*fakeHouse).updateFirmware},
	{"device reset to factory", (*fakeHouse).factoryReset},
	{"power cut of the hub", (*fakeHouse).cutHub},
	{"power cut of the service", (*fakeHouse).cutService},
	{"hub restored from a backup", (*fakeHouse).restoreHub},
	{"full disk", (*fakeHouse).fillDisk},
	{"broker loses its state", (*fakeHouse).restartBroker},
	{"messages lost, doubled and late", (*fakeHouse).breakLink},
	{"house off for months", (*fakeHouse).sleep},
	{"service restored from a backup", (*fakeHouse).restoreService},
	{"clock of the service a year ahead", (*fakeHouse).clockAhead},
}

// wait lets the house run.
func (h *fakeHouse) wait(d time.Duration) {
	h.running += d
	time.Sleep(d)
}

// some draws a duration up to most.
func (h *fakeHouse) some(most time.Duration) time.Duration {
	return time.Duration(h.rnd.Int64N(int64(most)))
}

// own draws one of the account's devices.
func (h *fakeHouse) own(fits func(*unit) bool) *unit {
	var us []*unit
	for _, u := range h.units {
		if !u.stranger && fits(u) {
			us = append(us, u)
		}
	}
	if len(us) == 0 {
		return nil
	}
	return us[h.rnd.IntN(len(us))]
}

// askReset asks for a reset mail at a door, and returns the token in it.
func (h *fakeHouse) askReset() (token string, ok bool) {
	door := Doors()[h.rnd.IntN(len(Doors()))]
	if err := h.call("", "getResetPasswordEmail", map[string]any{"email": ownerEmail, "door": door.Name}, nil); err != nil {
		h.t.Errorf("reset at the door %s: %v", door.Name, err)
		return "", false
	}
	return h.linkOf("reset")
}

// useReset sets a new password with a token.
func (h *fakeHouse) useReset(token string, exposed bool) error {
	was := h.known
	h.newPassword()
	err := h.call("", "resetPassword", map[string]any{"token": token, "newPassword": h.known, "exposed": exposed}, nil)
	if err != nil {
		h.known = was
	}
	return err
}

// reset resets the forgotten password.
func (h *fakeHouse) reset(exposed bool) {
	h.emptyMailbox()
	token, ok := h.askReset()
	if !ok {
		h.t.Error("no reset mail came")
		return
	}
	if err := h.useReset(token, exposed); err != nil {
		h.t.Errorf("reset: %v", err)
	}
	h.wait(h.some(10 * time.Second))
}

func (h *fakeHouse) emptyMailbox() {
	for len(h.mails) > 0 {
		<-h.mails
	}
}

// twoResets has two people of the house use two reset mails in the same moment. At least one succeeds.
func (h *fakeHouse) twoResets() {
	h.emptyMailbox()
	token, ok := h.askReset()
	if !ok {
		h.t.Error("no reset mail came")
		return
	}
	a := fmt.Sprintf("Kettle-Otter-%d-a", len(h.passwords))
	b := fmt.Sprintf("Kettle-Otter-%d-b", len(h.passwords))
	h.passwords = append(h.passwords, a, b)
	var both sync.WaitGroup
	var errA, errB error
	both.Go(func() { errA = h.call("", "resetPassword", map[string]any{"token": token, "newPassword": a}, nil) })
	both.Go(func() {
		errB = h.call("", "modifyCloudPassword", map[string]string{
			"cloudUserName": ownerEmail, "oldCloudPassword": h.known, "newCloudPassword": b, "appType": Kasa.AppType,
		}, nil)
	})
	both.Wait()
	if errA != nil && errB != nil {
		h.t.Errorf("two resets at once, and none succeeded: %v, %v", errA, errB)
		return
	}
	for _, p := range []string{a, b} { // which was last only the account knows
		err := h.call("", "login", map[string]string{
			"appType": Kasa.AppType, "cloudUserName": ownerEmail, "cloudPassword": p, "terminalUUID": "two",
		}, nil)
		if err == nil {
			h.known = p
			return
		}
	}
	h.t.Error("after two resets at once neither password opens the account")
}

// changePassword changes the password with the old one, as an app does.
func (h *fakeHouse) changePassword() {
	was := h.known
	h.newPassword()
	err := h.call("", "modifyCloudPassword", map[string]string{
		"cloudUserName": ownerEmail, "oldCloudPassword": was, "newCloudPassword": h.known, "appType": TPCamera.AppType,
	}, nil)
	if err != nil {
		h.t.Errorf("change: %v", err)
		h.known = was
	}
}

// disown has somebody else reset the password. The owner answers "this was not me", and resets it.
func (h *fakeHouse) disown() {
	h.reset(false)
	token, ok := h.linkOf("notme")
	if !ok {
		h.t.Error("no mail reports the change")
		return
	}
	h.wait(h.some(time.Hour))
	h.emptyMailbox()
	if err := h.service.account.Disown(context.Background(), token); err != nil {
		h.t.Errorf("disown: %v", err)
		return
	}
	if token, ok = h.linkOf("reset"); !ok {
		h.t.Error("no reset mail came after a change was disowned")
		return
	}
	if err := h.useReset(token, true); err != nil {
		h.t.Errorf("reset after a change was disowned: %v", err)
	}
}

// deviceOff switches a device off for up to three days.
func (h *fakeHouse) deviceOff() {
	u := h.own(func(u *unit) bool { return u.dev.On() })
	if u == nil {
		return
	}
	u.dev.PowerOff()
	h.wait(h.some(10 * time.Minute))
	time.AfterFunc(h.some(3*24*time.Hour), func() { u.powerOn() })
}

// newAddress gives a device another address.
func (h *fakeHouse) newAddress() {
	u := h.own(func(u *unit) bool { return u.spec.Protocol != home.Native })
	u.replace(func(s *sim.Spec) {
		a := s.Addr.As4()
		a[2] = byte(h.rnd.IntN(250))
		s.Addr = addr(a)
	})
}

// updateFirmware has a device speak the next protocol of its maker.
func (h *fakeHouse) updateFirmware() {
	next := map[home.Protocol]home.Protocol{
		home.IOT: home.KLAP1, home.KLAP1: home.IOTKLAP2, home.SmartAES: home.KLAP2,
	}
	u := h.own(func(u *unit) bool { return next[u.spec.Protocol] != "" })
	if u == nil {
		return
	}
	u.replace(func(s *sim.Spec) { s.Protocol = next[s.Protocol] })
}

// factoryReset resets a device by its button. Its owner then names it to the hub. A simulated camera gets its owner
// from its app only, so none is reset.
func (h *fakeHouse) factoryReset() {
	if u := h.own(func(u *unit) bool { return u.spec.Kind != home.Camera }); u != nil {
		u.dev.Hold("", home.Secret{})
		h.wait(h.some(20 * time.Minute))
		h.must(h.hub.engine.Bind([]home.DeviceID{u.dev.ID()}))
	}
}

// snapshot keeps a copy of the hub's store.
func (h *fakeHouse) snapshot() {
	f, err := os.Create(h.state("cut"))
	h.must(err)
	defer f.Close()
	h.must(h.hub.store.Snapshot(f))
}

// cutHub cuts the hub's power in the middle of a reset: its store is what it was right before one of its writes or
// connections, and nothing that it did after that had an effect.
func (h *fakeHouse) cutHub() {
	_ = os.Remove(h.state("cut"))
	h.cutIn.Store(1 + h.rnd.Int64N(60))
	h.reset(false)
	h.wait(h.some(30 * time.Second))
	if h.cutIn.Swap(0) > 0 {
		synctest.Wait()
		h.dead.Store(true)
		h.snapshot()
	}
	h.stopHub()
	h.dead.Store(false)
	h.must(os.Rename(h.state("cut"), filepath.Join(h.state("hub"), "rekeyd.db")))
	h.wait(h.some(time.Hour))
	h.startHub()
}

// cutService cuts the power of the service, and of the broker with it, right after a reset.
func (h *fakeHouse) cutService() {
	h.reset(false)
	synctest.Wait()
	h.copyState("service", "service-cut")
	h.stopHub() // it belongs to the same process
	h.stopBroker()
	h.stopService()
	h.copyState("service-cut", "service")
	h.wait(h.some(time.Hour))
	h.startService()
	h.startHub()
}

// copyState replaces a folder by a copy of another one.
func (h *fakeHouse) copyState(from, to string) {
	h.must(os.RemoveAll(h.state(to)))
	root := os.DirFS(h.state(from))
	h.must(fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(h.state(to), path), 0o700)
		}
		raw, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(h.state(to), path), raw, 0o600)
	}))
}

// restoreHub makes a backup, lets the house go on through resets, restores the backup, and signs in again.
func (h *fakeHouse) restoreHub() {
	synctest.Wait()
	h.copyState("hub", "hub-backup")
	for range 1 + h.rnd.IntN(3) {
		h.reset(false)
		h.wait(h.some(time.Hour))
	}
	h.stopHub()
	h.copyState("hub-backup", "hub")
	h.least = 0
	h.startHub()
	h.wait(h.some(time.Hour))
	if err := h.login(); err != nil {
		h.t.Errorf("sign in after the hub was restored: %v", err)
	}
}

// restoreService makes a backup of the service, lets the house go on through resets, and restores the backup. The owner
// resets the password, and signs the hub in again. Every other time a native device joins after the backup.
func (h *fakeHouse) restoreService() {
	if h.rnd.IntN(2) == 0 {
		native := h.own(func(u *unit) bool { return u.spec.Protocol == home.Native })
		h.must(h.hub.engine.Unbind([]home.DeviceID{native.dev.ID()}))
		h.wait(time.Hour)
	}
	synctest.Wait()
	h.copyState("service", "service-backup")
	h.bind()
	for range 1 + h.rnd.IntN(3) {
		h.reset(false)
		h.wait(h.some(time.Hour))
	}
	h.stopHub()
	h.stopBroker()
	h.stopService()
	h.copyState("service-backup", "service")
	h.startService()
	h.startHub()
	h.wait(h.some(time.Hour))
	h.reset(false)
	if err := h.login(); err != nil {
		h.t.Errorf("sign in after the service was restored: %v", err)
	}
}

// clockAhead has the service live a year in the future for an hour, in which the password is reset.
func (h *fakeHouse) clockAhead() {
	h.ahead.Store(int64(365 * 24 * time.Hour))
	h.wait(h.some(time.Minute))
	h.reset(false)
	h.wait(h.some(time.Hour))
	h.ahead.Store(0)
}

// fillDisk fills the hub's disk for an hour, in which the password is reset.
func (h *fakeHouse) fillDisk() {
	h.full.Store(true)
	h.wait(h.some(time.Minute))
	h.reset(false)
	h.wait(h.some(time.Hour))
	h.full.Store(false)
}

// restartBroker ends the broker for up to an hour. It keeps nothing.
func (h *fakeHouse) restartBroker() {
	h.stopBroker()
	h.wait(h.some(time.Hour))
	if h.rnd.IntN(2) == 0 {
		h.changePassword()
	}
	h.startBroker()
}

// breakLink loses, doubles and delays messages of all members for an hour, in which the password is reset.
func (h *fakeHouse) breakLink() {
	h.net.set(faults{drop: 0.2, double: 0.1, delay: 0.2, cut: 0.02})
	h.wait(h.some(time.Minute))
	h.reset(false)
	h.wait(h.some(time.Hour))
	h.net.set(faults{})
}

// sleep switches hub, service and broker off for up to eight months: their clock jumps.
func (h *fakeHouse) sleep() {
	h.stopHub()
	h.stopBroker()
	h.stopService()
	time.Sleep(h.some(250 * 24 * time.Hour))
	h.startService()
	h.startHub()
}
