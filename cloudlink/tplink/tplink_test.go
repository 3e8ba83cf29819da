package tplink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/tplink"
	"github.com/rekeyd/rekeyd/daemon/home"
)

const (
	email    = "Anna@example.org"
	password = "a-password-of-anna"
)

// vendor is a small cloud: one account, whose password, second factor and region a test decides. What it answers can be replaced by method.
type vendor struct {
	*httptest.Server
	mu       sync.Mutex
	password string
	factor   bool
	valid    map[string]bool // tokens
	n        int
	asked    []string // methods
	raw      map[string]string
	terminal string
}

func newVendor(t *testing.T) *vendor {
	v := &vendor{password: password, valid: map[string]bool{}, raw: map[string]string{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

// says has a method answered with this text.
func (v *vendor) says(method, raw string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw[method] = raw
}

func (v *vendor) reset(password string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.password = password
	clear(v.valid)
}

func (v *vendor) count(method string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.asked {
		if m == method {
			n++
		}
	}
	return n
}

func (v *vendor) token() string {
	v.n++
	t := fmt.Sprintf("token-%d", v.n)
	v.valid[t] = true
	return t
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in struct {
		Method string
		Params map[string]any
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	v.asked = append(v.asked, in.Method)
	if raw, ok := v.raw[in.Method]; ok {
		fmt.Fprint(w, raw)
		return
	}
	if s, ok := in.Params["terminalUUID"].(string); ok {
		v.terminal = s
	}
	in2 := func() string {
		return fmt.Sprintf(`{"error_code":0,"result":{"accountId":"77","email":%q,"token":%q,"refreshToken":%q}}`, email, v.token(), v.token())
	}
	switch in.Method {
	case "getAccountStatusAndUrl":
		fmt.Fprintf(w, `{"error_code":0,"result":{"accountStatus":1,"appServerUrl":%q}}`, v.URL)
	case "login":
		switch {
		case in.Params["cloudPassword"] != v.password:
			fmt.Fprint(w, `{"error_code":-20601,"msg":"Incorrect email or password"}`)
		case v.factor:
			fmt.Fprint(w, `{"error_code":-20677,"msg":"MFA","result":{"MFAProcessId":"process-9","supportedMFATypes":[1,2]}}`)
		default:
			fmt.Fprint(w, in2())
		}
	case "getEmailVC4TerminalMFA":
		fmt.Fprint(w, `{"error_code":0,"result":{}}`)
	case "checkMFACodeAndLogin":
		if in.Params["code"] != "123456" || in.Params["MFAProcessId"] != "process-9" || in.Params["MFAType"] != 2.0 {
			fmt.Fprint(w, `{"error_code":-20661,"msg":"no such code"}`)
			return
		}
		fmt.Fprint(w, in2())
	case "refreshToken":
		if s, _ := in.Params["refreshToken"].(string); !v.valid[s] {
			fmt.Fprint(w, `{"error_code":0,"result":{"errorCode":"-20655"}}`)
			return
		}
		fmt.Fprintf(w, `{"error_code":0,"result":{"token":%q}}`, v.token())
	case "getDeviceList":
		if !v.valid[r.URL.Query().Get("token")] {
			fmt.Fprint(w, `{"error_code":-20651,"msg":"Token expired"}`)
			return
		}
		fmt.Fprint(w, `{"error_code":0,"result":{"deviceList":[
			{"deviceType":"IOT.SMARTPLUGSWITCH","deviceId":"8006AA","alias":"lamp","deviceMac":"50C7BF010203","deviceModel":"HS100(EU)","status":1},
			{"deviceType":"SMART.TAPOPLUG","deviceId":"8022BB","alias":"aGVhdGVy","deviceMac":"50-C7-BF-01-02-04","deviceModel":"P100","status":0}]}}`)
	}
}

func cloudAt(t *testing.T, base string) *tplink.Cloud {
	t.Helper()
	c, err := tplink.New(base, "terminal-of-this-hub")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignInFindsTheRegionAndListsTheDevices(t *testing.T) {
	region := newVendor(t)
	first := newVendor(t)
	first.says("getAccountStatusAndUrl", `{"error_code":0,"result":{"appServerUrl":"`+region.URL+`"}}`)
	c := cloudAt(t, first.URL)
	e, _, err := c.Login(t.Context(), email, home.NewSecret(password))
	if err != nil {
		t.Fatal(err)
	}
	if e.Account != "tplink-77" || e.Email != email || e.Session.URL != region.URL || region.terminal != "terminal-of-this-hub" {
		t.Errorf("%+v at %q", e, region.terminal)
	}
	if first.count("login") != 0 || region.count("login") != 1 {
		t.Errorf("the password went to the wrong region")
	}
	ds, err := c.Devices(t.Context(), e.Session)
	want := []home.Listed{
		{ID: "8006AA", MAC: "50c7bf010203", Name: "lamp", Model: "HS100(EU)", Kind: home.Plug, Online: true},
		{ID: "8022BB", MAC: "50c7bf010204", Name: "heater", Model: "P100", Kind: home.Plug},
	}
	if err != nil || !slices.Equal(ds, want) {
		t.Errorf("%+v, %v", ds, err)
	}
}

func TestAWrongRegionIsLeftOnce(t *testing.T) {
	region, first := newVendor(t), newVendor(t)
	first.says("login", `{"error_code":-20212,"result":{"appServerUrl":"`+region.URL+`"}}`)
	e, _, err := cloudAt(t, first.URL).Login(t.Context(), email, home.NewSecret(password))
	if err != nil || e.Session.URL != region.URL {
		t.Fatalf("%v, %v", e.Session.URL, err)
	}
	region.says("login", `{"error_code":-20212,"result":{"appServerUrl":"`+first.URL+`"}}`)
	_, _, err = cloudAt(t, first.URL).Login(t.Context(), email, home.NewSecret(password))
	if err == nil || home.HintOf(err) == "" || region.count("login") != 2 || first.count("login") != 2 {
		t.Errorf("%v; %d and %d logins", err, first.count("login"), region.count("login"))
	}
}

func TestThePasswordGoesToNobodyElse(t *testing.T) {
	for _, to := range []string{
		"http://10.1.2.3", "https://example.org", "https://127.0.0.1.example.org", "ftp://127.0.0.1", "https://user@127.0.0.1", "nonsense", "https://", "//127.0.0.1",
	} {
		v := newVendor(t)
		v.says("getAccountStatusAndUrl", `{"error_code":0,"result":{"appServerUrl":"`+to+`"}}`)
		if _, _, err := cloudAt(t, v.URL).Login(t.Context(), email, home.NewSecret(password)); !errors.Is(err, home.ErrForged) || v.count("login") != 0 {
			t.Errorf("%s: %v, %d logins", to, err, v.count("login"))
		}
		if _, err := cloudAt(t, v.URL).Devices(t.Context(), home.CloudSession{URL: to, Token: home.NewSecret("x")}); !errors.Is(err, home.ErrForged) {
			t.Errorf("list from %s: %v", to, err)
		}
	}
	for _, base := range []string{"http://wap.tplinkcloud.com", "ftp://127.0.0.1", "https://u:p@wap.tplinkcloud.com", "%", "https://x?q"} {
		if _, err := tplink.New(base, ""); home.HintOf(err) == "" || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestASecondFactorIsAskedForByMail(t *testing.T) {
	v := newVendor(t)
	v.factor = true
	c := cloudAt(t, v.URL)
	_, ch, err := c.Login(t.Context(), email, home.NewSecret(password))
	if !errors.Is(err, home.ErrSecondFactor) || ch == nil || !strings.Contains(home.HintOf(err), "--code") || v.count("getEmailVC4TerminalMFA") != 1 {
		t.Fatalf("%v, %v", ch, err)
	}
	if _, err := c.Confirm(t.Context(), ch, "000000"); err == nil {
		t.Error("a wrong code was taken")
	}
	e, err := c.Confirm(t.Context(), ch, "123456")
	if err != nil || e.Session.Token.IsZero() || e.Session.Refresh.IsZero() {
		t.Errorf("%v, %v", e, err)
	}
	if n := v.count("login"); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestARefusedPasswordIsSentOnce(t *testing.T) {
	v := newVendor(t)
	for code, is := range map[int]error{
		-20601: home.ErrCredential, -20600: home.ErrCredential, -20661: home.ErrUnavailable, -20004: home.ErrUnavailable, -20675: nil, -23003: nil,
		-20677: nil, -20662: nil, -20212: nil, -20200: nil,
	} {
		v.says("login", fmt.Sprintf(`{"error_code":%d,"msg":"the cloud's words"}`, code))
		before := v.count("login")
		_, ch, err := cloudAt(t, v.URL).Login(t.Context(), email, home.NewSecret(password))
		switch {
		case err == nil || ch != nil || is != nil && !errors.Is(err, is):
			t.Errorf("%d: %v", code, err)
		case home.HintOf(err) == "" && code != -20212: // that one names no region, and so is a forgery
			t.Errorf("%d: no hint: %v", code, err)
		case strings.Contains(err.Error(), password):
			t.Errorf("%d: the password is in %v", code, err)
		}
		if n := v.count("login") - before; n != 1 {
			t.Errorf("%d: %d logins", code, n)
		}
	}
}

func TestATokenIsRenewedUntilTheSessionEnds(t *testing.T) {
	v := newVendor(t)
	c := cloudAt(t, v.URL)
	e, _, err := c.Login(t.Context(), email, home.NewSecret(password))
	if err != nil {
		t.Fatal(err)
	}
	old := e.Session
	next, err := c.Renew(t.Context(), old)
	if err != nil || next.Token.Equal(old.Token) || !next.Refresh.Equal(old.Refresh) || next.URL != old.URL {
		t.Fatalf("%+v, %v", next, err)
	}
	v.reset("another password")
	if _, err := c.Devices(t.Context(), next); !errors.Is(err, home.ErrCredential) {
		t.Errorf("list: %v", err)
	}
	if _, err := c.Renew(t.Context(), next); !errors.Is(err, home.ErrCredential) { // it comes nested, as a string
		t.Errorf("renew: %v", err)
	}
	next.Refresh = home.Secret{}
	if _, err := c.Renew(t.Context(), next); !errors.Is(err, home.ErrCredential) || v.count("refreshToken") != 2 {
		t.Errorf("without a refresh token: %v", err)
	}
}

func TestHostileAnswersAreNoSessions(t *testing.T) {
	v := newVendor(t)
	for _, raw := range []string{
		``, `{`, `[]`, `{"error_code":0}`, `{"error_code":0,"result":{}}`, `{"error_code":0,"result":[]}`, `{"error_code":0,"result":{"token":7}}`,
		`{"error_code":0,"result":{"token":"t","accountId":"../cred"}}`, `{"error_code":0,"result":{"token":"t","accountId":""}}`,
		`{"error_code":0,"result":{"token":"t","accountId":"7","email":"other@example.org"}}`,
		`{"error_code":0,"result":{"token":"` + strings.Repeat("t", 5000) + `","accountId":"7"}}`,
		strings.Repeat(`{"a":`, 20000), `{"error_code":0,"result":{"token":"` + strings.Repeat("t", 5<<20) + `","accountId":"7"}}`,
	} {
		v.says("login", raw)
		if e, _, err := cloudAt(t, v.URL).Login(t.Context(), email, home.NewSecret(password)); err == nil {
			t.Errorf("%.60q: %+v", raw, e)
		}
	}
	for _, raw := range []string{`{"error_code":0,"result":{"deviceList":7}}`, `{"error_code":0,"result":{"deviceList":[` + strings.Repeat(`{},`, 5000) + `{}]}}`} {
		v.says("getDeviceList", raw)
		if _, err := cloudAt(t, v.URL).Devices(t.Context(), home.CloudSession{URL: v.URL, Token: home.NewSecret("x")}); !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
	v.says("getDeviceList", `{"error_code":0,"result":{"deviceList":[{"alias":"\u001b[2J`+strings.Repeat("a", 400)+`","deviceMac":"not an address"},{}]}}`)
	ds, err := cloudAt(t, v.URL).Devices(t.Context(), home.CloudSession{URL: v.URL, Token: home.NewSecret("x")})
	if err != nil || len(ds) != 2 || len(ds[0].Name) > 128 || strings.Contains(ds[0].Name, "\x1b") || ds[0].MAC != "" || ds[1].Is([]string{"mac:", "iot:"}) {
		t.Errorf("%+v, %v", ds, err)
	}
}

func TestNoAnswerIsSaidWithoutSecrets(t *testing.T) {
	v := newVendor(t)
	at := v.URL
	v.Close()
	_, _, err := cloudAt(t, at).Login(context.Background(), email, home.NewSecret(password))
	if !errors.Is(err, home.ErrUnavailable) || !strings.Contains(home.HintOf(err), "internet") {
		t.Errorf("%v, hint %q", err, home.HintOf(err))
	}
	_, err = cloudAt(t, at).Devices(context.Background(), home.CloudSession{URL: at, Token: home.NewSecret("token-secret")})
	if !errors.Is(err, home.ErrUnavailable) || strings.Contains(err.Error(), "token-secret") {
		t.Error(err)
	}
}

func FuzzAListOfDevicesIsShownSafely(f *testing.F) {
	f.Add("IOT.SMARTPLUGSWITCH", "lamp", "50C7BF010203", "HS100")
	f.Add("SMART.TAPOPLUG", "aGVhdGVy", "50-C7-BF-01-02-04", "P100")
	f.Add("", "\x1b[2J", "\xff", "Tapo ")
	f.Fuzz(func(t *testing.T, kind, alias, mac, model string) {
		l := tplink.ReadListed(kind, alias, mac, model)
		if strings.ContainsFunc(l.Name+l.Model, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(l.Name) > 128 || l.MAC != "" && len(l.MAC) != 12 || l.Kind == "" {
			t.Errorf("%+v", l)
		}
	})
}
