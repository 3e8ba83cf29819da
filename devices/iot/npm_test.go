package iot_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/iot"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// npmDevice is a simulated device of npm.
type npmDevice struct {
	Model    string `json:"model"`
	Address  string `json:"address,omitempty"`
	Username string `json:"username"`
	Binded   int    `json:"binded,omitempty"`
	Calls    []struct{ Method, Username, Password string }
}

// npmHouse plays devices until the test ends, and returns their lines.
func npmHouse(t testing.TB, dir string, devices []npmDevice) (state func() []npmDevice) {
	t.Helper()
	want, err := json.Marshal(devices)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "house.js"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", string(script), "house", string(want))
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("simulator printed %q, %v", lines.Text(), lines.Err())
	}
	return func() []npmDevice {
		t.Helper()
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		var now []npmDevice
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &now); err != nil {
			t.Fatal(err)
		}
		return now
	}
}

func TestAllElevenModelsOfAnotherSimulatorAreRekeyed(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	if !nettest.InNamespace(t) {
		return
	}
	kinds := map[string]home.Kind{
		"hs100": home.Plug, "hs105": home.Plug, "hs110": home.Plug, "hs110v2": home.Plug, "hs300": home.Plug,
		"hs200": home.Switch, "hs220": home.Switch, "lb100": home.Bulb, "lb120": home.Bulb, "lb130": home.Bulb,
		"kl430": home.Bulb,
	}
	var want []npmDevice
	for model := range kinds {
		want = append(want, npmDevice{Model: model, Username: email})
	}
	for _, who := range []string{"", "bob@example.org"} {
		want = append(want, npmDevice{Model: "hs100", Username: who}, npmDevice{Model: "lb130", Username: who})
	}
	for i := range want {
		want[i].Address = fmt.Sprintf("127.53.9.%d", i+1)
	}
	state := npmHouse(t, dir, want)
	d := driver(t, iot.Options{})
	for i, w := range want {
		dev := stranger(t, d, w.Address)
		if dev.Kind != kinds[w.Model] {
			t.Errorf("%s is a %s, want %s", w.Model, dev.Kind, kinds[w.Model])
		}
		f, rekeyed := probe(t, d, dev, both), d.Rekey(t.Context(), dev, move)
		now := state()[i]
		switch w.Username {
		case "bob@example.org":
			expect(t, f, home.Foreign, home.ForeignHeld, 0)
			if len(now.Calls) != 0 {
				t.Errorf("%s: another's device received %+v", w.Model, now.Calls)
			}
			continue
		case "":
			expect(t, f, home.Unbound, home.Blank, 0)
		default:
			expect(t, f, home.Ours, home.Stale, 4)
			if len(now.Calls) == 0 || now.Calls[0].Method != "unbind" {
				t.Errorf("%s: was not unbound first: %+v", w.Model, now.Calls)
			}
		}
		if rekeyed != nil {
			t.Errorf("%s: %v", w.Model, rekeyed)
			continue
		}
		last := now.Calls[len(now.Calls)-1]
		if last.Method != "bind" || last.Username != email || last.Password != "new-password" || now.Binded != 1 ||
			now.Username != email {
			t.Errorf("%s: holds %+v", w.Model, now)
		}
		expect(t, probe(t, d, dev, both), home.Ours, home.Current, 5)
	}
}

// stranger returns the device at an address of which only a UDP sighting would be known: any of its identities.
func stranger(t testing.TB, d *iot.Driver, addr string) home.Device {
	t.Helper()
	dev := home.Device{ID: "mdns-unknown", Protocol: home.IOT, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 9999)}
	keys, kind := iot.IdentityAt(t.Context(), d, dev)
	if len(keys) != 2 {
		t.Fatalf("%s states %v", addr, keys)
	}
	mac := keys[slices.IndexFunc(keys, func(k string) bool { return strings.HasPrefix(k, "mac:") })]
	dev.ID, dev.Keys, dev.Kind = home.DeviceID(strings.Replace(mac, ":", "-", 1)), keys, kind
	return dev
}

func TestAnotherClientSpeaksToOurSimulatedDevices(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	if !nettest.InNamespace(t) {
		return
	}
	_, devices := house(t)
	cli := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(
			t.Context(),
			filepath.Join(dir, "node_modules", ".bin", "tplink-smarthome-api"),
			append([]string{"-c", "off"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	found := cli("-t", "1500", "search", "--broadcast", "127.255.255.255")
	for _, s := range devices {
		_, mac, _ := strings.Cut(string(s.ID()), "-")
		if !strings.Contains(found, fmt.Sprintf(" %s 9999 %s ", s.Addr().Addr(), strings.ToUpper(mac))) {
			t.Errorf("%s at %s is not found by broadcast:\n%s", s.Name(), s.Addr(), found)
		}
	}
	for _, c := range []struct {
		device        int
		request, want string
	}{
		{0, `{"system":{"get_sysinfo":{}}}`, "IOT.SMARTPLUGSWITCH"},
		{0, `{"cnCloud":{"get_info":{}}}`, email},
		{1, `{"cnCloud":{"unbind":{}}}`, "err_code"},
		{1, `{"cnCloud":{"bind":{"username":"ann@example.org","password":"new-password"}}}`, "err_code"},
		{2, `{"smartlife.iot.common.cloud":{"unbind":{}}}`, "err_code"},
		{2, `{"smartlife.iot.common.cloud":{"bind":{"username":"ann@example.org","password":"new-password"}}}`, "err_code"},
	} {
		if got := cli("send", devices[c.device].Addr().Addr().String(), c.request); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s in it", c.request, got, c.want)
		}
	}
	for i, s := range devices {
		if holds := s.Holds(email, newPair.Password); holds != (i > 0) {
			t.Errorf("%s holds the new password: %t", s.Name(), holds)
		}
	}
}

// npmRead is what a client that others wrote reads of a device.
type npmRead struct {
	Model, Username, Error    string
	Binded, NextAction, Rules int
	Year                      int
	On                        bool
	Power                     *float64 // watts; nil of a device without a meter
}

// A home automation polls more than an account: switch, energy meter, schedule, clock.
func TestAnotherClientReadsAndSwitchesOurSimulatedDevices(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "client.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !nettest.InNamespace(t) {
		return
	}
	models := []struct {
		kind    home.Kind
		name    string
		metered bool
	}{{home.Plug, "HS100(US)", false}, {home.Plug, "HS110(EU)", true}, {home.Bulb, "KL130(US)", true}}
	var specs []sim.Spec
	for _, m := range models {
		specs = append(specs, sim.Spec{
			Kind: m.kind, Protocol: home.IOT, Model: m.name, Username: email, Password: oldPair.Password,
		})
	}
	devices := drivertest.Play(t, nil, specs...)
	read := func(i int) (r npmRead) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "node", "-e", string(script), "client", devices[i].Addr().Addr().String())
		cmd.Dir = dir
		raw, err := cmd.Output()
		if err != nil || json.Unmarshal(raw, &r) != nil {
			t.Fatalf("%s: %q, %v", models[i].name, raw, err)
		}
		return r
	}
	d := driver(t, iot.Options{})
	for i, m := range models {
		for _, moved := range []bool{false, true} {
			if moved {
				if err := d.Rekey(t.Context(), drivertest.Seen(devices[i]), move); err != nil {
					t.Errorf("%s: %v", m.name, err)
				}
			}
			r := read(i)
			if r.Error != "" || r.Model != m.name || r.Username != email || r.Binded != 1 || !r.On || r.NextAction != -1 ||
				r.Rules != 0 || r.Year < 2024 || (r.Power != nil) != m.metered {
				t.Errorf("%s, moved %t: read %+v", m.name, moved, r)
			}
		}
		if !devices[i].Holds(email, newPair.Password) {
			t.Errorf("%s was not moved", m.name)
		}
	}
}
