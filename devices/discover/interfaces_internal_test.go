package discover

import (
	"net"
	"strings"
	"testing"
)

func TestAnInterfaceThatServesNoDiscoveryIsNamedWithItsReason(t *testing.T) {
	const up = net.FlagUp | net.FlagMulticast
	lo := present{net.Interface{Name: "lo", Flags: net.FlagUp | net.FlagLoopback}, true}
	eth0 := present{net.Interface{Name: "eth0", Flags: up}, true}
	wlan0 := present{net.Interface{Name: "wlan0", Flags: net.FlagMulticast}, false}
	usb0 := present{net.Interface{Name: "usb0", Flags: up}, false}
	for name, c := range map[string]struct {
		wanted Interfaces
		there  []present
		what   []string // in the troubles, one each
		hint   string
	}{
		"every one":        {nil, []present{lo, eth0, wlan0}, nil, ""},
		"a named one":      {Interfaces{"eth0"}, []present{lo, eth0}, nil, ""},
		"loopback by name": {Interfaces{"lo"}, []present{lo}, nil, ""},
		"none on the LAN":  {nil, []present{lo}, []string{"no network interface with multicast"}, "connect this machine"},
		"none at all":      {nil, nil, []string{"it has none"}, "connect this machine"},
		"one that is down": {nil, []present{lo, wlan0}, []string{"wlan0, which is down"}, "connect this machine"},
		"one that is absent": {
			Interfaces{"eth7"},
			[]present{lo, eth0},
			[]string{"eth7: it does not exist (this machine has lo; eth0)"},
			"rekeyd run --interface eth0",
		},
		"one of two is absent": {
			Interfaces{"eth0", "eth7"}, []present{lo, eth0}, []string{"eth7: it does not exist"}, "connect it",
		},
		"a named one is down":        {Interfaces{"wlan0"}, []present{wlan0}, []string{"wlan0: it is down"}, "connect it"},
		"a named one has no address": {Interfaces{"usb0"}, []present{usb0}, []string{"usb0: it has no address"}, "connect it"},
	} {
		got := c.wanted.troubles(c.there)
		if len(got) != len(c.what) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, trouble := range got {
			if !strings.Contains(trouble.What, c.what[i]) || !strings.Contains(trouble.Hint, c.hint) {
				t.Errorf("%s: %q", name, trouble)
			}
		}
	}
}
