package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// serveAt serves h at an address of this namespace, and returns its URL.
func serveAt(t *testing.T, addr string, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	ok(t, err)
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.CloseClientConnections)
	return "http://" + l.Addr().String()
}

// TestFormsWorkFromAnotherMachine opens a hub that runs in a network namespace of its own, over plain HTTP: by address,
// by the name of its machine, by a name of the owner's DNS, and below a path of a proxy that names the hub's own
// address, as nginx does. Forms of another site stay refused.
func TestFormsWorkFromAnotherMachine(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const password, hub, here = "the page of my house", "10.77.0.1:7353", "10.77.0.2"
	enter := nettest.Neighbour(t, "other", here+"/24", "10.77.0.1/24")
	host, err := os.Hostname()
	ok(t, err)
	target := &url.URL{Scheme: "http", Host: hub}
	proxy := serveAt(t, here+":0", http.StripPrefix("/rekeyd", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, // neither Host nor X-Forwarded-For
	}))
	evil := serveAt(t, here+":0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<form method="post" action="http://` + hub + `/signin"><input name="password"><button>x</button></form>`))
	}))
	r := newRig(t, "plug:klap2=1") // in this namespace, where the daemon does not find it
	r.enter = enter
	names := chromedp.Flag("host-resolver-rules", "MAP hub.example.org 10.77.0.1, MAP "+host+" 10.77.0.1")
	for _, c := range []struct {
		name, base string
		args       []string
	}{
		{"address", "http://" + hub, nil},
		{"machine", "http://" + host + ":7353", nil},
		{"name", "http://hub.example.org:7353", []string{"--host", "hub.example.org"}},
		{"proxy", proxy + "/rekeyd", []string{"--base-url", proxy + "/rekeyd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spool := t.TempDir()
			r.t, r.state = t, filepath.Join(t.TempDir(), "st")
			r.args = append([]string{
				"--interface", "lo", "--listen", hub, "--mail-dir", spool, "--policy", loose(t),
			}, c.args...)
			r.start()
			defer r.kill()
			r.await("daemon", time.Minute, answers)
			if out, err := r.rekeyd(password, "open", "--password-stdin"); err != nil {
				t.Fatalf("open: %s", out)
			}
			b := newTab(t, c.base, "en", "", true, names)
			b.open("/")
			b.sees("Sign in to go on.", "This page is not encrypted")
			b.fill("password", password)
			path := strings.TrimPrefix(c.base, proxy)
			if path == c.base {
				path = ""
			}
			b.press(path + "/signin")
			b.sees("Do you have a TP-Link account?", "Sign out", "No device was found yet.")
			size, err := b.ask(`getComputedStyle(document.querySelector("footer")).paddingTop`)
			if err != nil || size == "0px" {
				t.Errorf("the page has no style: %s, %v", size, err)
			}
			open, err := b.ask(`new Promise(done => {
				const e = new EventSource(document.querySelector("[data-live]").dataset.live);
				e.addEventListener("progress", () => { e.close(); done("live"); }); e.onerror = () => done("error"); })`)
			if err != nil || open != "live" {
				t.Errorf("events: %s, %v", open, err)
			}
			b.open("/account")
			b.sees("Sign in", "Forgot your password?")
			b.open("/account/register")
			b.fill("email", rigEmail, "password", "first-Horse-Battery", "again", "first-Horse-Battery")
			b.press(path + "/account/register")
			b.sees("Look into your mail")
			link, token := mailed(t, spool, "/activate", map[string]bool{})
			if c.name == "proxy" {
				if !strings.HasPrefix(link, c.base+"/account/activate#") {
					t.Fatalf("the letter leads to %s", link)
				}
				b.do(chromedp.Navigate(link))
			} else {
				b.open("/account/activate#t=" + token)
			}
			b.sees("Activate your account")
			b.press(path + "/account/activate")
			b.sees("Your account is active")
			b.fill("email", rigEmail, "password", "first-Horse-Battery")
			b.press(path + "/account/signin")
			b.sees("No devices belong to this account yet")
			b.open("/access")
			b.press(path + "/access/end")
			b.sees("Password of this hub")
			b.clean([]string{password, token}, "401")
			if c.name != "address" {
				return
			}
			x := newTab(t, evil, "en", "", true, names)
			x.open("/")
			x.fill("password", password)
			x.do(chromedp.Click(chromedp.CSS("button")))
			x.sees("cross-origin request detected")
		})
	}
}
