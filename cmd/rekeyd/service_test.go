package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestAPasswordSentInTheClearIsAnnounced(t *testing.T) {
	for base, want := range map[string]bool{
		"http://192.0.2.1:7354": true, "http://hub.local:7354": true, "http://[2001:db8::1]": true,
		"http://127.0.0.1:7354": false, "http://localhost:7354": false, "http://[::1]:7354": false,
		"https://192.0.2.1:7354": false, "https://hub.local#sha256=00": false,
	} {
		var errs bytes.Buffer
		c := &cobra.Command{}
		c.SetErr(&errs)
		warnPlain(c, base)
		if got := strings.Contains(errs.String(), "whoever listens on your network can read the password"); got != want {
			t.Errorf("%s: warned %t\n%s", base, got, &errs)
		}
	}
}

func TestURLsOfOneServiceAreTheSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://hub:7354", "https://hub:7354/#sha256=00", true},
		{"https://hub:7354/house", "https://hub:7354/house/", true},
		{"https://hub:7354", "http://hub:7354", false},
		{"https://hub:7354", "https://hub:7354/house", false},
	} {
		if got := sameURL(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %t", c.a, c.b, got)
		}
	}
}
