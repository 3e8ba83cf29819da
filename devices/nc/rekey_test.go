package nc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/drivertest"
)

const bind = "bind new-password"

// The bind goes over the one that the camera has, and counts once the camera is connected.
func TestACameraWhoseCloudRefusesItIsBoundAgain(t *testing.T) {
	camera := &camera{bound: true, status: 4, username: anna, after: 2}
	dev, d := serve(t, camera), driver(t, drivertest.NewDisk())
	for range 2 { // a second time it is found done
		if err := d.Rekey(t.Context(), dev, move()); err != nil {
			t.Fatal(err)
		}
	}
	if got := camera.commands(); !slices.Equal(got, []string{bind}) {
		t.Errorf("commands %q", got)
	}
	drivertest.Expect(t, drivertest.Probe(t, d, dev, candidates()), home.Ours, home.Current, 5)
}

// A camera that answers 0 and is not connected yet is pending, and asked again.
func TestACameraThatIsNotConnectedYetIsPending(t *testing.T) {
	camera := &camera{bound: true, status: 4, username: anna, after: 1}
	dev, d := serve(t, camera), driver(t, drivertest.NewDisk())
	if err := d.Rekey(t.Context(), dev, move()); !errors.Is(err, home.ErrOffline) {
		t.Fatal(err)
	}
	drivertest.Expect(t, drivertest.Probe(t, d, dev, candidates()), home.Ours, home.Pending, 0)
	camera.status = 2
	drivertest.Expect(t, drivertest.Probe(t, d, dev, candidates()), home.Ours, home.Current, 5)
}

// A camera is unbound only where it demands that and its cloud refuses its password, after the consent is on disk.
func TestACameraIsUnboundOnlyWhereItDemandsThat(t *testing.T) {
	camera := &camera{bound: true, status: 4, username: anna, after: 2, codes: map[string][]int{"bind": {1083}}}
	dev, m := serve(t, camera), move()
	m.Unbinding = func() error {
		if got := camera.commands(); !slices.Equal(got, []string{bind}) {
			t.Errorf("the consent is written after %q", got)
		}
		return nil
	}
	if err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), dev, m); err != nil {
		t.Fatal(err)
	}
	if got := camera.commands(); !slices.Equal(got, []string{bind, "unbind", bind}) {
		t.Errorf("commands %q", got)
	}
	for _, codes := range []map[string][]int{nil, {"bind": {1083}}} {
		camera.bound, camera.status, camera.username, camera.codes, camera.got = true, 4, anna, codes, nil
		m.Unbinding = func() error { return home.ErrCorrupt }
		err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), dev, m)
		if got := camera.commands(); codes != nil && !errors.Is(err, home.ErrCorrupt) || slices.Contains(got, "unbind") {
			t.Errorf("codes %v, consent not on disk: %v, commands %q", codes, err, got)
		}
	}
}

// A camera that works is never cut off: the password is not sent to it again before its cloud refuses it.
func TestAWorkingCameraStaysBound(t *testing.T) {
	camera := &camera{
		bound: true, status: 2, username: anna, after: 2, codes: map[string][]int{"bind": {1083, 1083, 1083, 0}},
	}
	dev, d := serve(t, camera), driver(t, drivertest.NewDisk())
	for range 3 {
		if err := d.Rekey(t.Context(), dev, move()); !errors.Is(err, home.ErrRefused) || home.HintOf(err) == "" {
			t.Errorf("got %v, hint %q", err, home.HintOf(err))
		}
	}
	if got := camera.commands(); !slices.Equal(got, []string{bind}) {
		t.Errorf("commands %q", got)
	}
	camera.status, camera.codes = 4, nil
	if err := d.Rekey(t.Context(), dev, move()); err != nil {
		t.Error(err)
	}
}

// What the cloud refused is not sent again before its owner orders that: each refusal counts at the account.
func TestARefusedPasswordIsSentOnce(t *testing.T) {
	for code, hint := range map[int]string{
		1081: "login", 1082: "login", -20661: "two hours", 1084: "tpCamera", -20601: "tpCamera", 1088: "tpCamera",
	} {
		camera := &camera{bound: true, status: 4, username: anna, codes: map[string][]int{"bind": {code}}, after: 2}
		dev, disk := serve(t, camera), drivertest.NewDisk()
		for i := range 3 {
			err := driver(t, disk).Rekey(t.Context(), dev, move()) // a new driver, as after a restart
			if !errors.Is(err, home.ErrRefused) || i == 0 && !strings.Contains(home.HintOf(err), hint) {
				t.Errorf("code %d: %v, hint %q", code, err, home.HintOf(err))
			}
		}
		if got := camera.commands(); !slices.Equal(got, []string{bind}) {
			t.Errorf("code %d: commands %q", code, got)
		}
		disk.Kept[dev.ID] = disk.Kept[dev.ID].Ordered()
		if err := driver(t, disk).Rekey(t.Context(), dev, move()); err != nil {
			t.Errorf("code %d: after an order: %v", code, err)
		}
	}
	// A bind that was confirmed and then refused by the cloud is one, too.
	camera := &camera{bound: true, status: 4, username: anna, after: 4}
	dev, d := serve(t, camera), driver(t, drivertest.NewDisk())
	for range 3 {
		if err := d.Rekey(t.Context(), dev, move()); err == nil {
			t.Error("moved, though its cloud refuses it")
		}
	}
	if got := camera.commands(); !slices.Equal(got, []string{bind}) {
		t.Errorf("commands %q", got)
	}
}

func TestACameraWithoutTheInternetIsTriedAgain(t *testing.T) {
	for _, code := range []int{1080, 1089} {
		camera := &camera{bound: true, status: 3, username: anna, codes: map[string][]int{"bind": {code}}, after: 2}
		dev, d := serve(t, camera), driver(t, drivertest.NewDisk())
		err := d.Rekey(t.Context(), dev, move())
		if !errors.Is(err, home.ErrUnreachable) || !strings.Contains(home.HintOf(err), "internet") {
			t.Errorf("code %d: %v, hint %q", code, err, home.HintOf(err))
		}
		if err := d.Rekey(t.Context(), dev, move()); err != nil {
			t.Errorf("code %d: with the internet: %v", code, err)
		}
	}
}

// The camera signs in at TP-Link's cloud, so that cloud must have accepted the password from this hub before.
func TestThePasswordIsSentOnlyAfterTheCloudAcceptedIt(t *testing.T) {
	for name, change := range map[string]func(*home.Move){
		"another provider":      func(m *home.Move) { m.Account.Provider = home.Home },
		"the sign-in has ended": func(m *home.Move) { m.Accepted = false },
		"an older epoch":        func(m *home.Move) { m.To = oldPair },
		"no consent":            func(m *home.Move) { m.Terms.Cleartext = false },
		"not bound":             func(m *home.Move) { m.Terms = home.Terms{} },
		"its own is not known":  func(m *home.Move) { m.DevicePassword = home.Secret{} },
		"no new password":       func(m *home.Move) { m.To.Password = home.Secret{} },
	} {
		camera := &camera{bound: true, status: 4, username: anna, after: 2}
		dev, m := serve(t, camera), move()
		change(&m)
		err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), dev, m)
		if err == nil || home.HintOf(err) == "" && name != "not bound" {
			t.Errorf("%s: %v, hint %q", name, err, home.HintOf(err))
		}
		if len(camera.commands()) != 0 || camera.received("-password") {
			t.Errorf("%s: it was sent %q", name, camera.got)
		}
	}
	camera := &camera{bound: true, status: 4, username: "bob@example.org", after: 2}
	if err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), serve(t, camera), move()); !errors.Is(err, home.ErrForeign) ||
		len(camera.commands()) != 0 {
		t.Errorf("another account's: %v, %q", err, camera.commands())
	}
}

// A camera without an owner proves nothing: it takes the password only while its owner named it as new.
func TestABlankCameraNeedsItsOwnersWord(t *testing.T) {
	camera := &camera{after: 2}
	dev, m := serve(t, camera), move()
	if err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), dev, m); err == nil || len(camera.commands()) != 0 {
		t.Errorf("%v, %q", err, camera.commands())
	}
	m.Terms.Fresh = true
	if err := driver(t, drivertest.NewDisk()).Rekey(t.Context(), dev, m); err != nil {
		t.Error(err)
	}
}
