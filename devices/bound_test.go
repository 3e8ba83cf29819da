package devices_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
)

// record is a bound device as the store has it.
func record(id home.DeviceID, keys ...string) home.Device {
	return home.Device{
		ID:       id,
		Name:     "Hall",
		Kind:     home.Plug,
		Protocol: home.IOT,
		Addr:     netip.MustParseAddrPort("10.0.0.1:9999"),
		Keys:     keys,
		Seen:     at(-500),
	}
}

func TestABoundDeviceKeepsItsIDUnderAStrongerKey(t *testing.T) {
	r := devices.NewRoster()
	first := r.See([]home.Sighting{udp(0, "10.0.0.1:9999", home.Plug, "iot:8006AB")})
	if !slices.Equal(ids(first), []home.DeviceID{"iot-8006ab"}) {
		t.Fatal(ids(first))
	}
	r.Bind(first)
	got := r.See([]home.Sighting{udp(1, "10.0.0.1:9999", home.Plug, "mac:50c7bf010203", "iot:8006AB")})
	if !slices.Equal(ids(got), []home.DeviceID{"iot-8006ab"}) || len(got[0].Keys) != 2 {
		t.Fatalf("under a stronger key it is %+v", got)
	}
	if d, ok := r.Device("mac-50c7bf010203"); !ok || d.ID != "iot-8006ab" {
		t.Errorf("by its stronger key: %v, %v", d.ID, ok)
	}
	// After a restart, with the keys that were recorded meanwhile, it is recognised by any of them.
	for _, key := range got[0].Keys {
		r := devices.NewRoster()
		r.Bind(got)
		if again := r.See([]home.Sighting{udp(2, "10.0.0.7:9999", home.Plug, key)}); !slices.Equal(
			ids(again), []home.DeviceID{"iot-8006ab"},
		) {
			t.Errorf("seen under %s alone it is %v", key, ids(again))
		}
	}
	r.Bind(nil)
	if list := ids(r.Devices()); !slices.Equal(list, []home.DeviceID{"mac-50c7bf010203"}) {
		t.Errorf("after it was unbound: %v", list)
	}
}

func TestAnotherDeviceNeverGetsTheIDOfABoundOne(t *testing.T) {
	for name, c := range map[string]struct {
		bound []home.Device
		see   []home.Sighting
		want  []home.DeviceID
	}{
		"a weak key of it": {
			[]home.Device{record("mac-50c7bf010203", "mac:50c7bf010203", "mdns:x._shelly._tcp")},
			[]home.Sighting{mdns(0, "10.0.0.2:80", "mac:50c7bf999999", "mdns:x._shelly._tcp")},
			[]home.DeviceID{"mac-50c7bf010203", "mac-50c7bf999999"},
		},
		"the key that named it": {
			[]home.Device{record("iot-8006ab", "mac:50c7bf010203", "iot:8006AB")},
			[]home.Sighting{
				udp(0, "10.0.0.2:9999", home.Plug, "mac:50c7bf999999", "iot:8006AB"),
				udp(0, "10.0.0.3:9999", home.Plug, "iot:8006AB"),
			},
			[]home.DeviceID{"iot-8006ab", "mac-50c7bf999999"},
		},
	} {
		r := devices.NewRoster()
		r.Bind(c.bound)
		r.See(c.see)
		var known []home.DeviceID
		for _, d := range r.Devices() {
			if slices.Contains(known, d.ID) {
				t.Errorf("%s: two devices have the ID %s", name, d.ID)
			}
			known = append(known, d.ID)
		}
		for _, id := range c.want {
			if !slices.Contains(known, id) {
				t.Errorf("%s: no %s in %v", name, id, known)
			}
		}
		if d, ok := r.Device(c.bound[0].ID); !ok || d.ID != c.bound[0].ID || !slices.Contains(d.Keys, "mac:50c7bf010203") {
			t.Errorf("%s: the bound device is %+v", name, d)
		}
	}
}

func TestADeviceThatIsBoundTwiceIsShownUnderOneID(t *testing.T) {
	r := devices.NewRoster()
	r.Bind([]home.Device{record("iot-8006ab", "iot:8006AB"), record("mac-50c7bf010203", "mac:50c7bf010203")})
	r.See([]home.Sighting{udp(0, "10.0.0.1:9999", home.Plug, "mac:50c7bf010203", "iot:8006AB")})
	if list := ids(r.Devices()); !slices.Equal(list, []home.DeviceID{"mac-50c7bf010203"}) {
		t.Errorf("shown as %v", list)
	}
	if d, ok := r.Device("iot-8006ab"); !ok || d.ID != "mac-50c7bf010203" {
		t.Errorf("the other ID leads to %v, %v", d.ID, ok)
	}
}
