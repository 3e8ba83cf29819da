package nameplate_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

func TestHardwareAddressesAreReadInEveryForm(t *testing.T) {
	for text, want := range map[string]string{
		"50:C7:BF:01:02:03": "50c7bf010203",
		"50-c7-bf-01-02-03": "50c7bf010203",
		"50C7BF010203":      "50c7bf010203",
		"":                  "",
		"50c7bf01020":       "",
		"50c7bf01020g":      "",
		"00:00:00:00:00:00": "",
		"ff:ff:ff:ff:ff:ff": "", // broadcast
		"01:00:5e:00:00:fb": "", // multicast
	} {
		if got := nameplate.MAC(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestPlateNamesADevice(t *testing.T) {
	for name, c := range map[string]struct {
		plate []string
		id    home.DeviceID
		keys  []string
		want  bool
	}{
		"by its ID":                           {[]string{"mac:a"}, "mac-a", nil, true},
		"by a key":                            {[]string{"mac:a"}, "mdns-x", []string{"hap:1", "mac:a"}, true},
		"by an ID in upper case":              {[]string{"iot:AB"}, "iot-ab", nil, true},
		"by its second address":               {[]string{"mac:b"}, "mac-a", []string{"mac:b"}, true},
		"another hardware address":            {[]string{"mac:b"}, "mac-a", []string{"mac:a"}, false},
		"one key fits, another contradicts":   {[]string{"mac:b", "iot:AB"}, "iot-ab", []string{"mac:a"}, false},
		"one key fits, the other is news":     {[]string{"mac:b", "iot:AB"}, "iot-ab", nil, true},
		"nothing in common":                   {[]string{"mac:a"}, "mdns-x", []string{"mdns:x"}, false},
		"the device is not known by anything": {[]string{"mac:a"}, "", nil, false},
		"nothing is stated":                   {nil, "mac-a", []string{"mac:a"}, false},
	} {
		p := nameplate.Plate{Keys: c.plate}
		if got := p.Names(home.Device{ID: c.id, Keys: c.keys}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPlateDescribesADevice(t *testing.T) {
	was := home.Device{ID: "mac-a", Name: "old", Model: "M1", Kind: home.Plug, Keys: []string{"mac:a"}}
	got := nameplate.New("b", " new\x07 ", "", home.Other).Describe(was)
	if got.Name != "new" || got.Model != "M1" || got.Kind != home.Plug ||
		!slices.Equal(got.Keys, []string{"mac:a", "mac:b"}) {
		t.Errorf("got %+v", got)
	}
	if len(was.Keys) != 1 {
		t.Errorf("the device that was given is changed: %q", was.Keys)
	}
	if got := (nameplate.Plate{}).Describe(home.Device{}); got.Kind != home.Other {
		t.Errorf("kind %q, want %q", got.Kind, home.Other)
	}
}

// FuzzTextIsFitToPrint states that a text of a device is short, valid and without what moves a terminal.
func FuzzTextIsFitToPrint(f *testing.F) {
	for _, s := range []string{
		"", "Küche", "a\x1b[2Jb", "\u202eabc", "a\u2028b", "\xff\xfe", strings.Repeat("ü", 100), "👩‍👧",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := nameplate.Text(s)
		if !utf8.ValidString(got) || len(got) > 120 || strings.ContainsAny(got, "\x00\x07\x1b\n\r\u2028\u202e\u0085") {
			t.Errorf("%q gives %q", s, got)
		}
		if again := nameplate.Text(got); again != got {
			t.Errorf("%q gives %q, and that %q", s, got, again)
		}
	})
}
