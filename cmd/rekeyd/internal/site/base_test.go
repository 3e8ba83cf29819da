package site_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestTheBaseIsAURLWithAHost(t *testing.T) {
	for raw, want := range map[string]site.Base{
		"": {},
		"http://hub.example.org/rekeyd/": {
			URL: "http://hub.example.org/rekeyd", Host: "hub.example.org", Origin: "http://hub.example.org", Prefix: "/rekeyd",
		},
		"https://[2001:db8::1]:8443": {
			URL: "https://[2001:db8::1]:8443", Host: "2001:db8::1", Origin: "https://[2001:db8::1]:8443", Secure: true,
		},
		"http://hub:80/a/b": {URL: "http://hub/a/b", Host: "hub", Origin: "http://hub", Prefix: "/a/b"},
	} {
		if got, err := site.ParseBase(raw); got != want || err != nil {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"hub/rekeyd", "ftp://hub", "http:///x", "http://u:p@hub", "http://hub?x", "http://hub#x", "http://hub//evil", ":",
	} {
		if got, err := site.ParseBase(raw); err == nil {
			t.Errorf("%q is accepted: %+v", raw, got)
		}
	}
}

// TestTheHouseIsBelowAPathOfAProxy goes through a proxy that takes the path away and names another host, as nginx does.
func TestTheHouseIsBelowAPathOfAProxy(t *testing.T) {
	row := bound("lamp", home.Stale, "")
	h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{row, bound("hall", home.Unreachable, "on")}}}
	base, err := site.ParseBase("http://hub.example.org/rekeyd")
	if err != nil {
		t.Fatal(err)
	}
	b := openOf(t, h, slog.New(slog.DiscardHandler), base)
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusUnauthorized) // a proxy on the hub leaves no trace
	if err := b.site.SetPassword(t.Context(), home.NewSecret(goodPassword)); err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{
		"http://evil.example", "https://hub.example.org", "http://hub.example.org:8080", "null",
	} {
		b.origin = origin
		if code := b.signIn(goodPassword); code != http.StatusForbidden {
			t.Errorf("a form of %s: %d", origin, code)
		}
	}
	b.origin = "http://hub.example.org"
	w := b.do(http.MethodPost, "/signin", url.Values{"password": {goodPassword}, "next": {"/device/lamp"}})
	if got := w.Header().Get("Location"); got != "/rekeyd/device/lamp" {
		t.Errorf("the sign-in leads to %q", got)
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].Path != "/rekeyd/" {
		t.Errorf("cookies %+v", c)
	}
	link := regexp.MustCompile(`(?:href|action|src|data-live)=["']([^"']*)["']`)
	for _, path := range []string{
		"/", "/rekeyd/", "/device/lamp", "/history", "/access", "/passwords", "/rekeyd/signin", "/no-such-page",
	} {
		links := link.FindAllStringSubmatch(b.do(http.MethodGet, path, nil).Body.String(), -1)
		if len(links) < 5 {
			t.Errorf("%s has %d links", path, len(links))
		}
		for _, l := range links {
			if !strings.HasPrefix(l[1], "/rekeyd/") && l[1] != "#content" {
				t.Errorf("%s leads to %s", path, l[1])
			}
		}
	}
	b.host = "hub.example.org"
	b.shows(b.do(http.MethodGet, "/rekeyd/", nil), http.StatusOK, "/rekeyd/device/lamp")
	b.host = "evil.example"
	b.shows(b.do(http.MethodGet, "/rekeyd/", nil), http.StatusMisdirectedRequest)
}
