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
	for in, want := range map[string]string{"Hall": "Hall", "RnJvbnQgZG9vcg==": "Front door", "": "P110", "\x1b[2J": "[2J", "AAAA": "AAAA"} {
		if got := name(in, "", "P110"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
