package site_test

import (
	"net/http"
	"strings"
	"testing"
)

// underHost sends requests under another name or address.
type underHost string

func (h underHost) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = string(h)
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

func TestPagesWithAPasswordWarnWhereItTravelsInTheClear(t *testing.T) {
	v := visit(t, nil)
	v.register()
	token := v.forgot()
	v.shows(v.signIn(first), 200, "Devices")
	pages := map[string]func() page{
		"sign in": func() page {
			jar := v.http.Jar
			defer func() { v.http.Jar = jar }()
			v.http.Jar = nil
			return v.get("/")
		},
		"register":        func() page { return v.get("/register") },
		"choose":          func() page { return v.post("/reset", "token", token) },
		"change":          func() page { return v.get("/account/password") },
		"hubs":            func() page { return v.get("/account/hubs") },
		"without a field": func() page { return v.get("/forgot") },
	}
	for host, warned := range map[string]bool{
		"192.0.2.1:7354": true, "hub.local": true, "[2001:db8::1]:7354": true,
		"localhost:7354": false, "127.0.0.1:7354": false, "127.9.9.9": false, "[::1]:7354": false,
	} {
		v.http.Transport = underHost(host)
		for name, open := range pages {
			p := open()
			field := strings.Contains(p.body, `type="password"`)
			if got := strings.Contains(p.body, "This page is not encrypted"); p.code != 200 || got != (warned && field) {
				t.Errorf("%s at %s: status %d, a password field %t, warned %t", name, host, p.code, field, got)
			}
			if field == (name == "without a field") {
				t.Errorf("%s: a password field %t", name, field)
			}
		}
	}
}
