package devices_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
)

const hall home.DeviceID = "mac-50c7bf000001"

// flood returns n sightings of as many devices that are not bound; keys are further keys of each.
func flood(n int, keys ...string) []home.Sighting {
	var all []home.Sighting
	for i := range n {
		own := append([]string{fmt.Sprintf("mac:0a0000%06x", i)}, keys...)
		all = append(all, udp(i/1000, fmt.Sprintf("10.1.%d.%d:9999", i>>8&255, i&255), home.Plug, own...))
	}
	return all
}

func TestAFullRosterTakesTheHouseIn(t *testing.T) {
	r := devices.NewRoster()
	r.Bind([]home.Device{record(hall, "mac:50c7bf000001")})
	r.See(flood(33_000))
	r.See([]home.Sighting{udp(100, "10.0.0.9:9999", home.Plug, "mac:50c7bf000001")})
	if d, _ := r.Device(hall); !r.Here(hall) || d.Addr != netip.MustParseAddrPort("10.0.0.9:9999") {
		t.Errorf("a bound device that was sighted is shown at %s, here: %v", d.Addr, r.Here(hall))
	}
	const door home.DeviceID = "mac-50c7bf000002"
	r.Bind([]home.Device{record(hall, "mac:50c7bf000001"), record(door, "mac:50c7bf000002")})
	if _, ok := r.Device(door); !ok {
		t.Error("a device that its owner bound is not known")
	}
	if n := len(r.Devices()); n > 8192 {
		t.Errorf("%d devices", n)
	}
}

// Sightings that claim the key of a bound device push one another out, and not the record of the device.
func TestClaimsToBeABoundDeviceAreBounded(t *testing.T) {
	r := devices.NewRoster()
	r.Bind([]home.Device{record(hall, "mac:50c7bf000001")})
	var claims []home.Sighting
	for i := range 40_000 {
		claims = append(claims, mdns(i/1000, "10.0.0.66:80", "mac:50c7bf000001", fmt.Sprintf("mdns:%d._x._tcp", i)))
	}
	r.See(claims)
	r.See([]home.Sighting{udp(100, "10.0.0.9:9999", home.Plug, "mac:50c7bf000001")})
	d, ok := r.Device(hall)
	if !ok || d.Addr != netip.MustParseAddrPort("10.0.0.9:9999") || d.Name != "Hall" {
		t.Errorf("shown as %q at %s", d.Name, d.Addr)
	}
	if n := len(d.Keys); n > 300 {
		t.Errorf("the device is known under %d keys", n)
	}
}

// Where a bound device spoke its protocol is kept, however many others speak elsewhere.
func TestAddressesOfTheHouseAreKept(t *testing.T) {
	r := devices.NewRoster()
	r.Bind([]home.Device{record(hall, "mac:50c7bf000001")})
	plug, extender := netip.MustParseAddrPort("10.0.0.9:9999"), netip.MustParseAddrPort("10.0.0.66:9999")
	s := udp(0, extender.String(), home.Plug, "mac:50c7bf000001")
	s.AlsoAt = []netip.AddrPort{plug}
	r.See(append(flood(5000), s))
	r.Spoke(hall, plug)
	for _, d := range r.Devices() {
		if d.ID != hall {
			r.Spoke(d.ID, d.Addr)
		}
	}
	if d, _ := r.Device(hall); d.Addr != plug {
		t.Errorf("shown at %s, and spoke at %s", d.Addr, plug)
	}
}

// A flood of devices that do not exist costs a bounded number of rows and of bytes: before, 40,000 cost 149 MiB.
func TestAFloodCostsBoundedMemory(t *testing.T) {
	for _, extra := range []int{0, 2000} {
		before := heap()
		r := devices.NewRoster()
		for i := range 40_000 {
			r.See([]home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: []string{fmt.Sprintf("mac:%012x", i), fmt.Sprintf("iot:8006%036x", i)},
				Kind: home.Plug, Name: fmt.Sprintf("plug number %d of a flood", i), Model: "HS110(EU)", At: time.Now(),
				Addr:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 9999),
				Extra: home.JSON(`{"x":"` + strings.Repeat("y", extra) + `"}`),
			}})
		}
		if n, grown := len(r.Devices()), heap()-before; n > 8192 || grown > 40<<20 {
			t.Errorf("with %d bytes each: %d devices, %d MiB", extra, n, grown>>20)
		}
		runtime.KeepAlive(r)
	}
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
