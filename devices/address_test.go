package devices_test

import (
	"net/netip"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices"
)

// An extender replies with a plug's keys from its own address, and before the plug does.
func TestDeviceIsShownWhereItSpokeItsProtocol(t *testing.T) {
	extender, plug := netip.MustParseAddrPort("10.0.0.66:9999"), netip.MustParseAddrPort("10.0.0.1:9999")
	relayed := func(second int, others ...netip.AddrPort) home.Sighting {
		s := udp(second, extender.String(), home.Plug, "mac:50c7bf010203")
		s.AlsoAt = others
		return s
	}
	r := devices.NewRoster()
	r.See([]home.Sighting{relayed(0)})
	const id home.DeviceID = "mac-50c7bf010203"
	where := func(addr netip.AddrPort, others ...netip.AddrPort) {
		t.Helper()
		d, ok := r.Device(id)
		if !ok || d.Addr != addr || len(d.AlsoAt) != len(others) || len(others) == 1 && d.AlsoAt[0] != others[0] {
			t.Errorf("shown at %s, also at %s; want %s, %s", d.Addr, d.AlsoAt, addr, others)
		}
	}
	where(extender)
	if changed := r.See([]home.Sighting{relayed(1, plug)}); len(changed) != 1 {
		t.Errorf("another address is no change: %v", changed)
	}
	where(extender, plug)
	r.Spoke(id, plug)
	where(plug, extender)
	r.See([]home.Sighting{relayed(60, plug)})
	where(plug, extender)
	r.See([]home.Sighting{relayed(120)}) // the plug is not sighted there any more
	where(extender)
	r.See([]home.Sighting{relayed(180, plug)})
	where(plug, extender)
	r.Spoke("mac-000000000000", plug) // of no device
}

// Where a bound device was last opened counts more than who replies first.
func TestBoundDeviceIsShownWhereItWasRecorded(t *testing.T) {
	r := devices.NewRoster()
	recorded := record("mac-50c7bf010203", "mac:50c7bf010203")
	recorded.Protocol, recorded.Addr = home.IOT, netip.MustParseAddrPort("10.0.0.1:9999")
	r.Bind([]home.Device{recorded})
	s := udp(0, "10.0.0.66:9999", home.Plug, "mac:50c7bf010203")
	s.AlsoAt = []netip.AddrPort{recorded.Addr}
	r.See([]home.Sighting{s})
	if d, _ := r.Device(recorded.ID); d.Addr != recorded.Addr || len(d.AlsoAt) != 1 || d.AlsoAt[0] != s.Addr {
		t.Errorf("shown at %s, also at %s", d.Addr, d.AlsoAt)
	}
}
