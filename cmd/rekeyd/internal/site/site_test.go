package site_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// house is a house without an engine.
type house struct {
	mu     sync.Mutex // guards the rest
	status daemon.Status
	orders []string
	hash   home.Secret

	logins  []daemon.Login
	earlier []string
}

func (h *house) PagePassword() (home.Secret, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hash, nil
}

func (h *house) SetPagePassword(hash home.Secret) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hash = hash
	return nil
}

func (h *house) read() (daemon.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	s.Devices = slices.Clone(s.Devices)
	return s, nil
}

func (h *house) order(what string, ids []home.DeviceID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orders = append(h.orders, fmt.Sprint(what, ids))
	return nil
}

func (h *house) Bind(ids []home.DeviceID) error            { return h.order("bind", ids) }
func (h *house) BindOurs(ids []home.DeviceID) error        { return h.order("bind ours", ids) }
func (h *house) Unbind(ids []home.DeviceID) error          { return h.order("unbind", ids) }
func (h *house) AllowCleartext(ids []home.DeviceID) error  { return h.order("allow", ids) }
func (h *house) ForbidCleartext(ids []home.DeviceID) error { return h.order("forbid", ids) }
func (h *house) Rekey(ids []home.DeviceID, _ bool) error   { return h.order("rekey", ids) }

func (h *house) Forget(ids []home.DeviceID) error { return h.order("forget", ids) }
func (h *house) Rename(id home.DeviceID, name string) error {
	return h.order("rename "+name+" ", []home.DeviceID{id})
}

func (h *house) Probe(_ context.Context, ids []home.DeviceID) ([]daemon.Probed, error) {
	return nil, h.order("probe", ids)
}

func (h *house) Remember(_ string, passwords []home.Secret) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.earlier = append(h.earlier, passwords[0].Reveal())
	return len(slices.Compact(slices.Clone(h.earlier))), nil
}

func (h *house) login(_ context.Context, in daemon.Login) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logins = append(h.logins, in)
	if in.Password.Reveal() == "wrong" {
		return &home.Error{Op: "sign in", Err: home.ErrCredential, Hint: "try again"}
	}
	return nil
}

// browser asks a site, from an address, with a cookie.
type browser struct {
	t      *testing.T
	site   *site.Site
	from   string
	host   string
	origin string
	cookie string
}

func open(t *testing.T, h *house) *browser {
	return openOf(t, h, slog.New(slog.DiscardHandler), site.Base{})
}

func openOf(t *testing.T, h *house, log *slog.Logger, base site.Base) *browser {
	t.Helper()
	return &browser{t: t, site: siteOf(t, h, log, base), from: "127.0.0.1:5", host: "127.0.0.1:7353"}
}

func siteOf(t testing.TB, h *house, log *slog.Logger, base site.Base) *site.Site {
	t.Helper()
	p := account.DefaultPolicy()
	p.HashMemory, p.HashTime = 64, 1
	s, err := site.New(site.Options{
		Login: h.login, Passwords: h, Hasher: account.NewHasher(p),
		Status: h.read, History: func(int) ([]home.Event, error) { return nil, nil }, Orders: h,
		API: http.NotFoundHandler(), Names: []string{"hub.example.org"}, Log: log, Base: base,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *browser) do(method, path string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://"+b.host+path, strings.NewReader(form.Encode()))
	r.RemoteAddr = b.from
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.origin != "" {
		r.Header.Set("Origin", b.origin)
	}
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "rekeyd_house", Value: b.cookie})
	}
	w := httptest.NewRecorder()
	b.site.Handler().ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c.Value
	}
	return w
}

func (b *browser) shows(w *httptest.ResponseRecorder, code int, texts ...string) {
	b.t.Helper()
	if w.Code != code {
		b.t.Errorf("status %d, want %d:\n%s", w.Code, code, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			b.t.Errorf("the page does not show %q:\n%s", text, w.Body)
		}
	}
}

func bound(id string, state home.State, hint string) daemon.Row {
	return daemon.Row{
		ID: home.DeviceID(id), Name: id, Kind: home.Plug, Protocol: home.KLAP2, Bound: true, Verdict: state, Epoch: 1, Hint: hint,
	}
}

// After a reset in the vendor's app every device may still be shown on the password that was the newest.
func TestAChangeAtTheVendorIsTheSentence(t *testing.T) {
	h := &house{status: daemon.Status{
		Account: "a***@example.org", Provider: home.TPLink, Link: "down", Ended: true,
		Devices: []daemon.Row{bound("hall", home.Current, "")},
	}}
	b := open(t, h)
	w := b.do("GET", "/", nil)
	b.shows(w, http.StatusOK, "Your password was probably changed at TP-Link.", "rekeyd login EMAIL --provider tplink")
	if strings.Contains(w.Body.String(), "Nothing is left to do") {
		t.Error("the page shows that nothing is left to do")
	}
}

func TestTheFirstScreenIsOneSentence(t *testing.T) {
	current, stale := bound("a", home.Current, ""), bound("b", home.Stale, "")
	away := bound("c", home.Unreachable, "switch it on")
	other := daemon.Row{ID: "d", Name: "d", Protocol: home.KLAP2, Verdict: home.Mismatch}
	ours := daemon.Row{ID: "e", Name: "e", Protocol: home.KLAP2, Verdict: home.Stale, Proved: true}
	for want, rows := range map[string][]daemon.Row{
		"No device was found yet.":                        nil,
		"1 device was found, and none is kept yet.":       {other},
		"2 devices are on your newest password.":          {current, current, other},
		"1 on your newest password, 1 needs you.":         {current, away},
		"Your password was changed: 2 devices are being":  {stale, stale},
		"1 of 3 devices moved, 1 needs you.":              {current, stale, away},
		"1 more device has proved a password of yours":    {current, ours},
		"<progress value=\"2\" max=\"3\"":                 {current, stale, away},
		"Switch it on and see that it is in the network.": {away},
		"Need you <small>1</small>":                       {away, current},
		"Kept <small>2</small>":                           {current, stale},
	} {
		b := open(t, &house{status: daemon.Status{Account: "a***@example.org", Epoch: 1, Link: "up", Devices: rows}})
		b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, want)
	}
	b := open(t, &house{status: daemon.Status{Devices: []daemon.Row{other}}})
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, "Do you have a TP-Link account?", "rekeyd setup")
}

func TestOrdersNeedASignInAndReadingFromElsewhereDoes(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a***@example.org", Devices: []daemon.Row{bound("lamp", home.Stale, "")}}}
	h.status.Devices[0].Name = "Lamp of Anna"
	b := open(t, h)
	b.shows(b.do(http.MethodGet, "/device/lamp", nil), http.StatusOK, "Lamp of Anna", "holds an older password")
	b.shows(b.do(http.MethodPost, "/device/lamp/unbind", nil), http.StatusUnauthorized, "Sign in to go on.",
		`name="next" value="/device/lamp"`)
	b.from, b.host = "192.0.2.7:5", "192.0.2.1:7353"
	for _, path := range []string{"/", "/device/lamp", "/history", "/live", "/v1/status"} {
		if w := b.do(http.MethodGet, path, nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "Lamp of Anna") {
			t.Errorf("%s from elsewhere: %d %s", path, w.Code, w.Body)
		}
	}
	b.shows(b.do(http.MethodPost, "/signin", url.Values{"token": {"ABCD"}}), http.StatusUnprocessableEntity, "wrong or too old")
	code := b.site.NewCode()
	b.origin = "http://192.0.2.1:7353" // over plain HTTP a browser sends no more
	if w := b.do(http.MethodPost, "/signin", url.Values{"token": {" " + code[:4] + "-" + code[4:]}}); w.Code != http.StatusSeeOther {
		t.Fatalf("sign-in: %d %s", w.Code, w.Body)
	}
	mine := b.cookie
	b.cookie = ""
	b.shows(b.do(http.MethodPost, "/signin", url.Values{"token": {code}}), http.StatusUnprocessableEntity, "was used")
	b.cookie = mine
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusOK, "lamp", "Sign out")
	for _, order := range []string{"unbind", "rekey", "bind", "allow", "forbid"} {
		if w := b.do(http.MethodPost, "/device/lamp/"+order, nil); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d", order, w.Code)
		}
	}
	b.shows(b.do(http.MethodPost, "/device/lamp/eat", nil), http.StatusNotFound)
	b.shows(b.do(http.MethodPost, "/device/absent/bind", nil), http.StatusNotFound)
	b.origin = "http://elsewhere.example"
	b.shows(b.do(http.MethodPost, "/device/lamp/unbind", nil), http.StatusForbidden)
	b.origin, b.host = "", "elsewhere.example"
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusMisdirectedRequest)
	want := []string{"unbind[lamp]", "rekey[lamp]", "bind[lamp]", "allow[lamp]", "forbid[lamp]"}
	if !slices.Equal(h.orders, want) {
		t.Errorf("orders %v, want %v", h.orders, want)
	}
	b.host = "LocalHost:7353"
	b.do(http.MethodPost, "/signout", nil)
	b.cookie = mine
	b.shows(b.do(http.MethodGet, "/", nil), http.StatusUnauthorized)
}

func TestARequestOfAProxyComesFromElsewhere(t *testing.T) {
	b := open(t, &house{})
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:7353/", nil)
	r.RemoteAddr = "127.0.0.1:5"
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	w := httptest.NewRecorder()
	b.site.Handler().ServeHTTP(w, r)
	b.shows(w, http.StatusUnauthorized)
}

func TestNamesOfDevicesAreText(t *testing.T) {
	for name, want := range map[string]string{
		"<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;",
		"lamp\u202egpj.exe":         "<bdi>lampgpj.exe</bdi>",
		"line\nfeed\x1b[2J":         "<bdi>linefeed[2J</bdi>",
		"   ":                       "<bdi>the-id</bdi>",
		"👩\u200d👩\u200d👧":           "<bdi>👩\u200d👩\u200d👧</bdi>",
		strings.Repeat("x", 200):    "<bdi>" + strings.Repeat("x", 80) + "…</bdi>",
		"a\u00a0b":                  "<bdi>a b</bdi>",
	} {
		row := bound("the-id", home.Current, "")
		row.Name = name
		b := open(t, &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{row}}})
		w := b.do(http.MethodGet, "/", nil)
		b.shows(w, http.StatusOK, want)
		if strings.Contains(w.Body.String(), "<script>alert") {
			t.Error(w.Body)
		}
	}
}

func TestAPageOfFiveHundredDevicesIsSmallAndCanBeSearched(t *testing.T) {
	var rows []daemon.Row
	for i := range 500 {
		row := bound(fmt.Sprintf("mac-50c7bf35%04x", i), home.Current, "")
		row.Name = fmt.Sprintf("plug in room %d", i)
		rows = append(rows, row)
	}
	b := open(t, &house{status: daemon.Status{Account: "a", Devices: rows}})
	w := b.do(http.MethodGet, "/", nil)
	b.shows(w, http.StatusOK, "500 devices are on your newest password", "plug in room 499")
	if size := w.Body.Len(); size > 150_000 {
		t.Errorf("the page has %d bytes", size)
	}
	w = b.do(http.MethodGet, "/?find=ROOM+42", nil)
	b.shows(w, http.StatusOK, "plug in room 42<", "plug in room 429<")
	if strings.Contains(w.Body.String(), "plug in room 43<") {
		t.Error("the search shows another device")
	}
	b.shows(b.do(http.MethodGet, "/?find=%22%3E%3Cb%3E", nil), http.StatusOK, "No device has such a name", "&#34;&gt;&lt;b&gt;")
}

func TestAnOpenPageFollowsTheHouse(t *testing.T) {
	h := &house{status: daemon.Status{Account: "a", Devices: []daemon.Row{bound("lamp", home.Stale, "")}}}
	b := open(t, h)
	web := httptest.NewServer(b.site.Handler())
	defer web.Close()
	resp, err := http.Get(web.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	next("Your password was changed")
	h.mu.Lock()
	h.status.Devices[0].Verdict = home.Current
	h.mu.Unlock()
	b.site.Changed()
	next("1 device is on your newest password")
}
