package discover_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/xor"
)

func TestAnnouncementsBecomeDevices(t *testing.T) {
	for _, c := range []struct {
		instance, typ, host string
		txt                 []string
		kind                home.Kind
		model, key          string
	}{
		{"Cam", "_rekeyd._tcp", "", []string{"id=rk-7f", "kind=camera", "model=C1"}, home.Camera, "C1", "rk:rk-7f"},
		{
			"Lamp", "_hap._tcp", "",
			[]string{"id=AA:BB:CC:00:11:22", "md=LIFX A19", "ci=5"},
			home.Bulb, "LIFX A19",
			"hap:aabbcc001122",
		},
		{"Plug", "_hap._tcp", "", []string{"id=AA:BB:CC:00:11:23", "md=EP25", "ci=7"}, home.Plug, "EP25", "hap:aabbcc001123"},
		{"Wall", "_HAP._tcp", "", []string{"CI=8"}, home.Switch, "", "mdns:wall._hap._tcp"},
		{"Eye", "_hap._tcp", "", []string{"ci=17"}, home.Camera, "", "mdns:eye._hap._tcp"},
		{"Bell", "_hap._tcp", "", []string{"ci=18"}, home.Camera, "", "mdns:bell._hap._tcp"},
		{"Bridge", "_hap._tcp", "", []string{"ci=2"}, home.Other, "", "mdns:bridge._hap._tcp"},
		{"87E1-01", "_matter._tcp", "50C7BF010203.local.", nil, home.Other, "", "mac:50c7bf010203"},
		{"0F", "_matterc._udp", "0011223344556677.local.", []string{"DT=266", "VP=1+2"}, home.Plug, "", "matter:0f"},
		{"0F", "_matterc._udp", "", []string{"DT=257"}, home.Bulb, "", "matter:0f"},
		{"0F", "_matterc._udp", "", []string{"DT=259"}, home.Switch, "", "matter:0f"},
		{
			"ShellyPlugS-80646F010203", "_shelly._tcp", "",
			[]string{"app=PlugS", "gen=2"},
			home.Plug, "PlugS",
			"mac:80646f010203",
		},
		{"shelly1pm-8caab5010203", "_http._tcp", "", nil, home.Switch, "shelly1pm", "mac:8caab5010203"},
		{"tas", "_http._tcp", "", []string{"devicetype=tasmota"}, home.Switch, "Tasmota", "mdns:tas._http._tcp"},
		{"nc450(UN)", "_http._tcp", "", nil, home.Camera, "NC450", "mdns:nc450(un)._http._tcp"},
		{
			"node", "_esphomelib._tcp", "",
			[]string{"mac=a4cf12010203", "board=esp32"},
			home.Other, "esp32",
			"mac:a4cf12010203",
		},
		{"strip", "_wled._tcp", "", []string{"mac=a4cf12010204"}, home.Bulb, "WLED", "mac:a4cf12010204"},
		{
			"Hue", "_hue._tcp", "",
			[]string{"bridgeid=001788fffe123456", "modelid=BSB002"},
			home.Other, "BSB002",
			"mac:001788123456",
		},
		{"AXIS", "_axis-video._tcp", "", []string{"macaddress=ACCC8E010203"}, home.Camera, "Axis", "mac:accc8e010203"},
		{
			"yeelink-light-color1_miio1", "_miio._udp", "", nil, home.Bulb, "yeelink-light-color1",
			"mdns:yeelink-light-color1_miio1._miio._udp",
		},
		{
			"HW", "_hwenergy._tcp", "",
			[]string{"product_type=HWE-SKT", "serial=3c39e7010203"},
			home.Plug, "HWE-SKT",
			"mac:3c39e7010203",
		},
	} {
		s, ok := discover.Describe(discover.Announcement{Instance: c.instance, Type: c.typ, Host: c.host, TXT: c.txt})
		if !ok || s.Kind != c.kind || s.Model != c.model || len(s.Keys) == 0 || s.Keys[0] != c.key {
			t.Errorf(
				"%s.%s %q: %v %+v; want %s, model %q, first key %s", c.instance, c.typ, c.txt, ok, s, c.kind, c.model, c.key,
			)
		}
		if native := c.typ == "_rekeyd._tcp"; native != (s.Protocol == home.Native) {
			t.Errorf("%s: protocol %q", c.typ, s.Protocol)
		}
	}
	for _, a := range []discover.Announcement{
		{Instance: "Printer", Type: "_http._tcp"},
		{Instance: "NC4500", Type: "_http._tcp"},
		{Instance: "NC45", Type: "_http._tcp"},
		{Instance: "x", Type: "_ipp._tcp"},
		{Instance: "x", Type: "_rekeyd._tcp", TXT: []string{"kind=camera"}},
		{Instance: "x", Type: "_rekeyd._tcp", TXT: []string{"id=../../x"}},
	} {
		if s, ok := discover.Describe(a); ok {
			t.Errorf("%+v is taken for %+v", a, s)
		}
	}
}

// Laws: what is shown to people has no control characters and is valid and bounded; the keys end with the
// announcement's own.
func FuzzDescribe(f *testing.F) {
	for _, typ := range []string{"_rekeyd._tcp", "_hap._tcp", "_matter._tcp", "_shelly._tcp", "_http._tcp", "_hue._tcp"} {
		f.Add("name", typ, "host.local.", "id=aa:bb:cc:dd:ee:ff", "devicetype=tasmota")
	}
	f.Add("\x1b[2J\xff", "_hap._tcp", "", "md=\x1b]0;x\x07", "=")
	f.Fuzz(func(t *testing.T, instance, typ, host, a, b string) {
		s, ok := discover.Describe(discover.Announcement{Instance: instance, Type: typ, Host: host, TXT: []string{a, b}})
		if !ok {
			return
		}
		for _, text := range append([]string{s.Name, s.Model}, s.Keys...) {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 600 {
				t.Errorf("not fit to be shown: %q", text)
			}
		}
		if len(s.Keys) == 0 || !strings.HasPrefix(s.Keys[len(s.Keys)-1], "mdns:") {
			t.Errorf("keys %q", s.Keys)
		}
	})
}

func TestKasaRepliesBecomeSightings(t *testing.T) {
	const id = "8006000000000000000000000000000000000001"
	for _, c := range []struct {
		reply       string
		kind        home.Kind
		match       home.Match
		owner, name string
	}{
		{
			`{"system":{"get_sysinfo":{"deviceId":"` + id + `","mac":"50:C7:BF:01:02:03","type":"IOT.SMARTPLUGSWITCH",` +
				`"model":"HS100(EU)","alias":"Hall","dev_name":"Wi-Fi Smart Plug"}},` +
				`"cnCloud":{"get_info":{"username":"a@example.com","binded":1}}}`,
			home.Plug, home.Unknown, home.OwnerOf("a@example.com"), "Hall",
		},
		{
			`{"system":{"get_sysinfo":{"deviceId":"` + id + `","mac":"50:C7:BF:01:02:03","type":"IOT.SMARTPLUGSWITCH",` +
				`"model":"HS220(US)","alias":"W"}},"cnCloud":{"get_info":{"username":"stale@example.com","binded":0}}}`,
			home.Switch, home.Unbound, home.NoOwner, "W",
		},
		{
			`{"system":{"get_sysinfo":{"deviceId":"` + id + `","mic_mac":"50C7BF010203","mic_type":"IOT.SMARTBULB",` +
				`"model":"LB130(US)","alias":"L"}},"cnCloud":{"err_code":-1,"err_msg":"module not support"},` +
				`"smartlife.iot.common.cloud":{"get_info":{"username":"a@example.com","binded":1}}}`,
			home.Bulb, home.Unknown, home.OwnerOf("a@example.com"), "L",
		},
		{
			`{"system":{"get_sysinfo":{"system":{"deviceId":"` + id + `","mac":"50:C7:BF:01:02:03","type":"IOT.IPCAMERA",` +
				`"model":"EC60(US)","alias":"C"}}}}`,
			home.Camera, home.Unknown, "", "C",
		},
	} {
		s, err := discover.Kasa().Read(xor.Seal([]byte(c.reply)))
		if err != nil || s.Kind != c.kind || s.Match != c.match || s.Owner != c.owner || s.Name != c.name ||
			(s.Protocol == home.IOT) != (c.kind != home.Camera) ||
			!slices.Equal(s.Keys, []string{"mac:50c7bf010203", "iot:" + id}) {
			t.Errorf("%s\ngives %+v, %v", c.reply, s, err)
		}
	}
	for _, junk := range []string{
		"", "hello", "{}", "null", `{"system":{"get_sysinfo":{"err_code":-1}}}`,
		`{"system":{"get_sysinfo":{"mac":"00:00:00:00:00:00"}}}`,
	} {
		if s, err := discover.Kasa().Read(xor.Seal([]byte(junk))); err == nil {
			t.Errorf("%q is taken for %+v", junk, s)
		}
	}
	if !json.Valid(xor.Open(discover.Kasa().Datagrams()[0])) {
		t.Error("the probe is no JSON")
	}
}

// Law: whatever comes, a reply that is taken has a key, and its words are fit to be shown.
func FuzzKasaReply(f *testing.F) {
	f.Add([]byte(`{"system":{"get_sysinfo":{"mac":"50:C7:BF:01:02:03","alias":"x"}},"cnCloud":{"get_info":{"binded":1}}}`))
	f.Add([]byte(`{"system":{"get_sysinfo":{"system":null}}}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		s, err := discover.Kasa().Read(xor.Seal(plain))
		if err == nil && (len(s.Keys) == 0 || strings.ContainsFunc(s.Name+s.Model+s.Owner, unicode.IsControl)) {
			t.Errorf("%q gives %+v", plain, s)
		}
	})
}
