package tplink

import "testing"

func TestThePasswordGoesToTheSameCloudOnly(t *testing.T) {
	for _, c := range []struct {
		base, to string
		ok       bool
	}{
		{DefaultURL, "https://eu-wap.tplinkcloud.com", true},
		{DefaultURL, "https://n-use1-wap.tplinkcloud.com/", true},
		{DefaultURL, "http://eu-wap.tplinkcloud.com", false},
		{DefaultURL, "https://eu-wap.tplinkcloud.com.evil.example", false},
		{DefaultURL, "https://evil-tplinkcloud.com", false},
		{DefaultURL, "https://x@evil.example", false},
		{DefaultURL, "", false},
		{DefaultURL, "://", false},
		{"http://127.0.0.1:7354", "http://127.0.0.1:9000", true},
		{"http://127.0.0.1:7354", "http://127.0.0.2:7354", false},
		{"http://127.0.0.1:7354", "http://1.127.0.0.1:7354", false},
		{"http://localhost:1", "http://evil.localhost:1", false},
	} {
		if _, ok := sibling(c.base, c.to); ok != c.ok {
			t.Errorf("from %s to %s: %v", c.base, c.to, ok)
		}
	}
}

func TestNamesAreReadWhicheverWayTheyCome(t *testing.T) {
	for _, c := range []struct{ typ, alias, want string }{
		{"IOT.SMARTPLUGSWITCH", "Hall", "Hall"},
		{"SMART.TAPOPLUG", "RnJvbnQgZG9vcg==", "Front door"},
		{"SMART.TAPOPLUG", "Hall", "Hall"},
		{"", "", "P110"},
		{"", "\x1b[2J", "[2J"},
		{"IOT.SMARTBULB", "RnJvbnQgZG9vcg==", "RnJvbnQgZG9vcg=="},
	} {
		if got := name(c.typ, c.alias, "", "P110"); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.typ, c.alias, got, c.want)
		}
	}
}

func TestAPasswordIsNotSentWhereOthersCanReadIt(t *testing.T) {
	for base, want := range map[string]bool{
		DefaultURL: true, "http://127.0.0.1:1": true, "http://localhost": true, "http://wap.tplinkcloud.com": false,
		"ftp://x": false, "https://u:p@x": false, "": false,
	} {
		if confidential(base) != want {
			t.Errorf("%q: %v", base, !want)
		}
	}
}
