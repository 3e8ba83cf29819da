package site_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// signedIn is a browser that is signed in to a house.
func signedIn(t *testing.T, h *house) *browser {
	t.Helper()
	b := open(t, h)
	if w := b.do(http.MethodPost, "/signin", url.Values{"token": {b.site.NewCode()}}); w.Code != http.StatusSeeOther {
		t.Fatalf("sign-in: %d", w.Code)
	}
	return b
}

// leads sends a form, and wants to be led to a page.
func (b *browser) leads(path string, form url.Values, to string) {
	b.t.Helper()
	w := b.do(http.MethodPost, path, form)
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != to {
		b.t.Errorf("%s: %d to %q, want %q\n%s", path, w.Code, got, to, w.Body)
	}
}

func TestADeviceIsAskedRenamedAndForgotten(t *testing.T) {
	gone := bound("gone", home.Unreachable, "switch it on")
	h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{bound("lamp", home.Current, ""), gone}}}
	b := open(t, h)
	for _, order := range []string{"probe", "rename", "forget"} {
		b.shows(b.do(http.MethodPost, "/device/lamp/"+order, nil), http.StatusUnauthorized)
	}
	b = signedIn(t, h)
	w := b.do(http.MethodGet, "/device/lamp", nil)
	b.shows(w, http.StatusOK, "Ask it now", "Its name at this hub")
	if strings.Contains(w.Body.String(), "Forget this device") {
		t.Error("a device that is here can be forgotten")
	}
	b.shows(b.do(http.MethodGet, "/device/gone", nil), http.StatusOK, "Forget this device")
	b.leads("/device/lamp/probe", nil, "/device/lamp?done")
	b.leads("/device/lamp/rename", url.Values{"name": {"Hall"}}, "/device/lamp?done")
	b.leads("/device/gone/forget", nil, "/?done")
	if want := []string{"probe[lamp]", "rename Hall [lamp]", "forget[gone]"}; !slices.Equal(h.orders, want) {
		t.Errorf("orders %v, want %v", h.orders, want)
	}
}

// The owner has changed the password at the vendor, and types it once.
func TestAChangedPasswordIsTypedOnce(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a***@example.org", Provider: home.TPLink, Ended: true}}
	b := open(t, h)
	b.shows(b.do(http.MethodPost, "/passwords/new", url.Values{"password": {"new"}}), http.StatusUnauthorized)
	b.shows(b.do(http.MethodGet, "/passwords", nil), http.StatusUnauthorized)
	b = signedIn(t, h)
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, `href="/passwords"`)
	b.shows(b.do(http.MethodGet, "/passwords", nil), http.StatusOK, "I have changed my password", "An earlier password")
	for _, bad := range []string{"", "two words", strings.Repeat("x", 33)} {
		b.shows(b.do(http.MethodPost, "/passwords/new", url.Values{"password": {bad}}), http.StatusUnprocessableEntity)
	}
	w := b.do(http.MethodPost, "/passwords/new", url.Values{"password": {"wrong"}})
	b.shows(w, http.StatusConflict, "wrong e-mail address or password", "try again")
	form := url.Values{"password": {"new-password-1"}, "exposed": {"on"}, "code": {"123"}, "email": {"other@example.org"}}
	b.leads("/passwords/new", form, "/passwords?in")
	last := h.logins[len(h.logins)-1]
	if last.Email != "" || !last.Exposed || last.Code != "123" || last.Password.Reveal() != "new-password-1" {
		t.Errorf("the hub signs in with %+v", last)
	}
	h.status.Provider = home.Home
	n := len(h.logins)
	b.shows(b.do(http.MethodPost, "/passwords/new", form), http.StatusConflict)
	if len(h.logins) != n {
		t.Error("the account of the own service was replaced")
	}
}

func TestAHubWithoutAnAccountIsSignedInOnItsFirstPage(t *testing.T) {
	h := &house{}
	b := open(t, h)
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, `href="/passwords"`)
	b = signedIn(t, h)
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, "Sign this hub in", `value="tplink" checked`)
	form := url.Values{"password": {"a-password-1"}, "provider": {"tplink"}}
	b.shows(b.do(http.MethodPost, "/passwords/new", form), http.StatusUnprocessableEntity)
	form.Set("email", "anna@example.org")
	b.leads("/passwords/new", form, "/?done")
	if in := h.logins[0]; in.Email != "anna@example.org" || in.Provider != home.TPLink {
		t.Errorf("the hub signs in with %+v", in)
	}
}

func TestAnEarlierPasswordIsRememberedOnce(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a"}}
	b := open(t, h)
	form := url.Values{"password": {"canary-of-the-owner"}}
	b.shows(b.do(http.MethodPost, "/passwords/earlier", form), http.StatusUnauthorized)
	b = signedIn(t, h)
	b.leads("/passwords/earlier", form, "/passwords?new")
	w := b.do(http.MethodGet, "/passwords?new", nil)
	b.shows(w, http.StatusOK, "knows one password more")
	if strings.Contains(w.Body.String(), "canary") {
		t.Error("the page shows the password")
	}
}

func TestDevicesAreFilteredByState(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{
		bound("lamp", home.Current, ""), bound("hall", home.Unreachable, "on"), bound("desk", home.Stale, ""),
		{ID: "plug", Name: "plug", Protocol: home.KLAP2, Verdict: home.Mismatch},
	}}}
	b := open(t, h)
	for state, want := range map[string]string{
		"need": "hall", "kept": "desk lamp", "others": "plug", "": "desk hall lamp plug", "none": "desk hall lamp plug",
	} {
		body := b.do(http.MethodGet, "/?state="+state, nil).Body.String()
		var got []string
		for _, name := range []string{"desk", "hall", "lamp", "plug"} {
			if strings.Contains(body, "<bdi>"+name+"</bdi>") {
				got = append(got, name)
			}
		}
		if fmt.Sprint(strings.Join(got, " ")) != want {
			t.Errorf("%q selects %v, want %s", state, got, want)
		}
	}
	b.shows(b.do(http.MethodGet, "/?state=need&find=x%26y", nil), http.StatusOK,
		`data-live="/live?find=x%26y&amp;state=need"`, `value="need" selected`, "No device has such a name")
}
