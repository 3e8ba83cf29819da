package site_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestTheSiteWorksBelowAPath goes through a proxy that leaves the path in the requests, and one that takes it away.
func TestTheSiteWorksBelowAPath(t *testing.T) {
	const path = "/rekeyd"
	v := visitBelow(t, path, nil)
	link := regexp.MustCompile(`(?:href|action|src)="(/[^"]*)"`)
	for _, at := range []string{path + "/", "/"} {
		p := v.shows(v.get(at), 200, "Sign in")
		links := link.FindAllStringSubmatch(p.body, -1)
		if len(links) < 6 {
			t.Errorf("only %d links on %s", len(links), at)
		}
		for _, l := range links {
			if !strings.HasPrefix(l[1], path+"/") {
				t.Errorf("%s leads to %s", at, l[1])
			}
		}
	}
	v.shows(v.get(path+"/page.css"), 200, "color-scheme")
	v.shows(v.post(path+"/register", "email", email, "password", first, "again", first), 200, "Look into your mail")
	v.shows(v.post(path+"/activate", "token", v.token(path+"/activate")), 200, "Your account is active")
	if p := v.shows(v.post(path+"/signin", "email", email, "password", first), 200, "Devices"); p.path != path+"/account" {
		t.Errorf("the sign-in leads to %s", p.path)
	}
	if p := v.get(path); p.path != path+"/account" {
		t.Errorf("without its last slash the site leads to %s", p.path)
	}
}
