package account_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestDevicesAreListedAsTheVendorListsThem(t *testing.T) {
	c := open(t, nil)
	c.register()
	token, _, _ := c.login(password, "tpCamera_Android")
	hub, _ := c.hub(c.pair(token))
	want := map[string]string{}
	var ds []wire.Device
	var secrets []home.Key
	add := func(p home.Protocol, k home.Kind, deviceType string) {
		id := string(p) + "-" + string(k)
		want[id] = deviceType
		ds = append(ds, wire.Device{ID: id, Kind: string(k), Protocol: string(p), Name: "lämp " + id})
		secrets = append(secrets, home.KeyBytes(wire.NewSeed()))
	}
	for _, p := range []home.Protocol{home.KLAP2, home.SmartAES, home.TapoCam, home.TPAP} {
		add(p, home.Plug, "SMART.TAPOPLUG")
		add(p, home.Bulb, "SMART.TAPOBULB")
		add(p, home.Switch, "SMART.TAPOSWITCH")
		add(p, home.Camera, "SMART.IPCAMERA")
	}
	for _, p := range []home.Protocol{home.IOT, home.KLAP1, home.IOTKLAP2, home.KasaCam} {
		add(p, home.Plug, "IOT.SMARTPLUGSWITCH")
		add(p, home.Bulb, "IOT.SMARTBULB")
		add(p, home.Switch, "IOT.SMARTPLUGSWITCH")
		add(p, home.Camera, "IOT.IPCAMERA")
	}
	hub.bind(ds, secrets)
	var r struct {
		DeviceList []struct{ DeviceID, DeviceType, Alias string }
	}
	if code := c.call(token, "getDeviceList", p{}, &r); code != 0 || len(r.DeviceList) != len(want) {
		t.Fatalf("%d, %d devices of %d", code, len(r.DeviceList), len(want))
	}
	for _, d := range r.DeviceList {
		if d.DeviceType != want[d.DeviceID] {
			t.Errorf("%s is listed as %s, want %s", d.DeviceID, d.DeviceType, want[d.DeviceID])
		}
		alias := "lämp " + d.DeviceID
		if strings.HasPrefix(want[d.DeviceID], "SMART.") {
			alias = base64.StdEncoding.EncodeToString([]byte(alias))
		}
		if d.Alias != alias {
			t.Errorf("%s has the alias %q, want %q", d.DeviceID, d.Alias, alias)
		}
	}
}
