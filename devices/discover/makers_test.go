package discover_test

import (
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
)

// What makers state in a TXT record decides the kind: a name that begins like a switch's is not enough.
func TestKindIsThatOfTheModel(t *testing.T) {
	shelly := func(app string) []string { return []string{"gen=2", "app=" + app} }
	for _, c := range []struct {
		instance, typ string
		txt           []string
		kind          home.Kind
	}{
		{"0F", "_matterc._udp", []string{"DT=271"}, home.Switch},
		{"0F", "_matterc._udp", []string{"DT=272"}, home.Switch},
		{"0F", "_matterc._udp", []string{"DT=322"}, home.Camera},
		{"0F", "_matterc._udp", []string{"DT=323"}, home.Camera},
		{"0F", "_matterc._udp", []string{"DT=10"}, home.Other}, // a lock

		{"shellyplusht-b0b21c010203", "_shelly._tcp", shelly("PlusHT"), home.Other},
		{"shellyplussmoke-b0b21c010203", "_shelly._tcp", shelly("PlusSmoke"), home.Other},
		{"shellypro3em-b0b21c010203", "_shelly._tcp", shelly("Pro3EM"), home.Other},
		{"shellyplusi4-b0b21c010203", "_shelly._tcp", shelly("PlusI4"), home.Other},
		{"shellypluspmmini-b0b21c010203", "_shelly._tcp", shelly("PlusPMMini"), home.Other},
		{"shellyhtg3-b0b21c010203", "_shelly._tcp", shelly("HTG3"), home.Other},
		{"shellyplus1pm-b0b21c010203", "_shelly._tcp", shelly("Plus1PM"), home.Switch},
		{"shellyplus1mini-b0b21c010203", "_shelly._tcp", shelly("Plus1Mini"), home.Switch},
		{"shellypro4pm-b0b21c010203", "_shelly._tcp", shelly("Pro4PM"), home.Switch},
		{"shelly1g3-b0b21c010203", "_shelly._tcp", shelly("S1G3"), home.Switch},
		{"shelly1minig3-b0b21c010203", "_shelly._tcp", shelly("Mini1G3"), home.Switch},
		{"shellywalldimmer-b0b21c010203", "_shelly._tcp", shelly("PlusWallDimmer"), home.Switch},
		{"shellydimmerg3-b0b21c010203", "_shelly._tcp", shelly("DimmerG3"), home.Switch},
		{"shellyplugsg3-b0b21c010203", "_shelly._tcp", shelly("PlugSG3"), home.Plug},
		{"shellyplusrgbwpm-b0b21c010203", "_shelly._tcp", shelly("PlusRGBWPM"), home.Bulb},
		{"my hall", "_shelly._tcp", shelly("Plus1PM"), home.Switch}, // the owner may rename it
		{"shellyswitch25-8caab5010203", "_http._tcp", nil, home.Switch},
		{"shelly4pro-8caab5010203", "_http._tcp", nil, home.Switch},
		{"shelly1l-8caab5010203", "_http._tcp", nil, home.Switch},
		{"shellydimmer2-8caab5010203", "_http._tcp", nil, home.Switch},
		{"shellyem3-8caab5010203", "_http._tcp", nil, home.Other},
		{"shellyht-8caab5010203", "_http._tcp", nil, home.Other},
		{"shellyplug-s-010203", "_http._tcp", nil, home.Plug},
		{"ShellyVintage-8caab5010203", "_http._tcp", nil, home.Bulb},

		{"n", "_esphomelib._tcp", []string{"project_name=athom.smart-plug-v2"}, home.Plug},
		{"n", "_esphomelib._tcp", []string{"project_name=athom.rgbct-bulb"}, home.Bulb},
		{"n", "_esphomelib._tcp", []string{"project_name=maker.wall_switch", "board=esp32cam"}, home.Switch},
		{"n", "_esphomelib._tcp", []string{"project_name=esphome.bluetooth-proxy"}, home.Other},
		{"n", "_esphomelib._tcp", []string{"board=esp32cam"}, home.Camera},
		{"n", "_esphomelib._tcp", []string{"board=sonoff_basic"}, home.Switch},
		{"n", "_esphomelib._tcp", []string{"board=sonoff_s31"}, home.Plug},
		{"n", "_esphomelib._tcp", []string{"board=nodemcuv2"}, home.Other},

		{"eWeLink_10000a", "_ewelink._tcp", []string{"id=10000a", "type=plug"}, home.Plug},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=diy_plug"}, home.Plug},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=strip"}, home.Plug},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=multifun_switch"}, home.Switch},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=diy_light"}, home.Bulb},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=fan_light"}, home.Other},
		{"eWeLink_10000a", "_ewelink._tcp", []string{"type=rf"}, home.Other},
		{"eWeLink_10000a", "_ewelink._tcp", nil, home.Other},
	} {
		s, ok := discover.Describe(discover.Announcement{Instance: c.instance, Type: c.typ, TXT: c.txt})
		if !ok || s.Kind != c.kind {
			t.Errorf("%s.%s %q: %v, a %s, want a %s", c.instance, c.typ, c.txt, ok, s.Kind, c.kind)
		}
	}
}

func TestESPHomeDeviceHasItsFriendlyName(t *testing.T) {
	for _, c := range []struct {
		txt         []string
		name, model string
	}{
		{
			[]string{"friendly_name=Hall plug", "project_name=athom.smart-plug", "board=esp8285"},
			"Hall plug", "athom.smart-plug",
		},
		{[]string{"board=esp8285"}, "node", "esp8285"},
		{[]string{"friendly_name="}, "node", ""},
	} {
		s, _ := discover.Describe(discover.Announcement{Instance: "node", Type: "_esphomelib._tcp", TXT: c.txt})
		if s.Name != c.name || s.Model != c.model {
			t.Errorf("%q: name %q, model %q; want %q, %q", c.txt, s.Name, s.Model, c.name, c.model)
		}
	}
}
