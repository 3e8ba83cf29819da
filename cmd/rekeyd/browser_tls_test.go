package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestTheWebsiteWorksOverTLSInARealBrowser registers, activates and signs in over https, with the cookies that only
// https has, and opens the house's page. The browser has accepted the daemon's own certificate.
func TestTheWebsiteWorksOverTLSInARealBrowser(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const password = "first-Horse-Battery"
	r := newRig(t, "plug:klap2=1")
	spool := t.TempDir()
	r.args = append(r.args, "--mail-dir", spool, "--policy", loose(t), "--tls", "auto")
	r.start()
	r.await("daemon", time.Minute, answers)
	b := newTab(t, strings.Replace(defaultAccountURL, "http:", "https:", 1), "en", "", true)

	b.open("/register")
	b.sees("Register")
	b.fill("email", rigEmail, "password", password, "again", password)
	b.press("/register")
	b.sees("Look into your mail")
	link, _ := mailed(t, spool, "/activate", map[string]bool{})
	b.open(strings.TrimPrefix(link, b.base))
	b.sees("Activate your account")
	b.press("/activate")
	b.sees("Your account is active")
	b.fill("email", rigEmail, "password", password)
	b.press("/signin")
	b.sees("No devices belong to this account yet")
	if strings.Contains(b.text(), "not encrypted") {
		t.Error("a page over https warns that it is not encrypted")
	}
	b.clean([]string{password})

	b.base = "https://" + defaultPage
	b.open("/")
	b.sees("Do you have a TP-Link account?", "P110-0001")
	b.base = "http://" + defaultPage // is sent on
	b.open("/")
	b.sees("Do you have a TP-Link account?", "P110-0001")
}

// TestTheWebsiteWorksOverPlainHTTPInARealBrowser opens the website at an address of the LAN. A browser trusts such a
// page less than one of loopback: it sends no Sec-Fetch headers, by which forms from other sites are recognised.
func TestTheWebsiteWorksOverPlainHTTPInARealBrowser(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	const password = "first-Horse-Battery"
	nettest.Address(t, "lo", "192.0.2.1/32")
	r := newRig(t, "plug:klap2=1")
	r.args = append(r.args, "--account-listen", "0.0.0.0:7354", "--account-base-url", "http://192.0.2.1:7354")
	r.start()
	r.await("daemon", time.Minute, answers)
	b := newTab(t, "http://192.0.2.1:7354", "en", "", true)
	b.open("/register")
	b.sees("Register", "This page is not encrypted")
	b.fill("email", rigEmail, "password", password, "again", password)
	b.press("/register")
	b.sees("Your account is ready", "This page is not encrypted")
	b.fill("password", password) // the address is filled in
	b.press("/signin")
	b.sees("No devices belong to this account yet")
}
