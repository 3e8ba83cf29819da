package account_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestEveryBadRequestHasItsAnswer(t *testing.T) {
	c := open(t, nil)
	c.register()
	token := c.signIn()
	for _, x := range []struct {
		token, body string
		status      int
		want        string
	}{
		{"", `{`, 200, `"error_code":-10100`},
		{"", `[]`, 200, `"error_code":-10100`},
		{"", "{\"method\":\"login\xff\"}", 200, `"error_code":-10100`},
		{"", `{"method":"login","params":[]}`, 200, `"error_code":-10100`},
		{"", `{"method":"login","params":{}}`, 200, `"error_code":-20104`},
		{"", `{"method":"login"}`, 200, `"error_code":-20104`},
		{
			"", `{"method":"login","params":{"appType":"x","cloudUserName":"a@b.c","cloudPassword":"p"}}`,
			200, `"error_code":-20104`,
		},
		{
			"", `{"method":"login","params":{"appType":"x","cloudUserName":null,"cloudPassword":"p","terminalUUID":""}}`,
			200, `"error_code":-20104`,
		},
		{
			"", `{"method":"login","params":{"appType":"x","cloudUserName":7,"cloudPassword":"p","terminalUUID":""}}`,
			200, `"error_code":-20107`,
		},
		{
			"", `{"method":"login","params":{"appType":"x","cloudUserName":"` + strings.Repeat("a", 9000) +
				`","cloudPassword":"p","terminalUUID":""}}`,
			200, `"error_code":-20601`,
		},
		{"", `{"method":"nothing"}`, 200, `"error_code":-20107`},
		{"", `{"method":"getDeviceList"}`, 200, `"error_code":-20651`},
		{"nonsense", `{"method":"getDeviceList"}`, 200, `"error_code":-20651`},
		{token + "A", `{"method":"getDeviceList"}`, 200, `"error_code":-20651`},
		{token, `{"method":"getDeviceList"}`, 200, `"deviceList":[]`},
		{token, `{"method":"unbindDevice","params":{"deviceId":"x"}}`, 200, `"error_code":-20580`},
		{token, `{"method":"removeHub","params":{}}`, 200, `"error_code":-20104`},
		{token, `{"method":"listHubs"}`, 200, `"hubs":[]`},
		{token, `{"method":"getHistory"}`, 200, `account registered`},
		{"", `{"method":"helloCloud","params":{}}`, 200, `"error_code":0`},
		{"", `{"method":"getResetPasswordEmail","params":{"email":"a@b.c\r\nBcc: x@y.z"}}`, 200, `"error_code":-20200`},
		{"", `{"method":"getResetPasswordEmail","params":{"email":"Anna <a@b.c>"}}`, 200, `"error_code":-20200`},
		{"", `{"method":"getResetPasswordEmail","params":{"email":"аnna@example.org"}}`, 200, `"error_code":-20200`},
		{"", `{"method":"getResetPasswordEmail","params":{"email":"a@b.c","door":"window"}}`, 200, `"error_code":-20107`},
		{
			"", `{"method":"refreshToken","params":{"appType":"","terminalUUID":"","refreshToken":"x"}}`,
			200, `"error_code":-20655`,
		},
		{"", `{"method":"resetPassword","params":{"token":"x","newPassword":"y"}}`, 200, `"error_code":-20692`},
		{"", `{"method":"register","params":{"email":"b@example.org","password":"too short"}}`, 200, `"error_code":-20615`},
		{
			"", `{"method":"register","params":{"email":"B@EXAMPLE.org ","password":"` + password + `"}}`,
			200, `"error_code":-20200`,
		},
		{
			"", `{"method":"register","params":{"email":"` + strings.ToUpper(email) + `","password":"` + password + `"}}`,
			200, `"error_code":-20690`,
		},
		{"", `{"method":"` + strings.Repeat("x", 70<<10) + `"}`, 413, `"error_code":-10100`},
	} {
		resp, err := http.Post(c.web.URL+"/?token="+x.token, "application/json", strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != x.status || !strings.Contains(string(raw), x.want) {
			t.Errorf("%.120s: %d %.200s, want %d %s", x.body, resp.StatusCode, raw, x.status, x.want)
		}
	}
}

func TestAPasswordOfAnySignsOpensTheAccount(t *testing.T) {
	c := open(t, nil)
	const pw = `% " \ & +é`
	if code := c.call("", "register", p{"email": email, "password": pw}, nil); code != v1.BadNewPassword {
		t.Error(code)
	}
	odd := `%25"\&+=?#/<>{}[]`
	if code := c.call("", "register", p{"email": email, "password": odd}, nil); code != 0 {
		t.Fatal(code)
	}
	if _, _, code := c.login(odd, "Kasa_iOS"); code != 0 {
		t.Error(code)
	}
}

func TestCamerasOfTheNCClassAreForTheirOwnApp(t *testing.T) {
	c := open(t, nil)
	token, hub, _ := c.enrolled()
	secrets := []home.Key{home.KeyBytes(wire.NewSeed()), home.KeyBytes(wire.NewSeed())}
	hub.bind(
		[]wire.Device{
			{ID: "cam", Kind: "camera", Protocol: "nc", Model: "NC250"},
			{ID: "plug", Kind: "plug", Protocol: "iot", Model: "HS100", MAC: "50c7bf010203"},
		},
		secrets,
	)
	other, _, _ := c.login(password, "tpCamera_Android")
	if listed, _ := c.online(token); listed != 1 {
		t.Errorf("%d listed to Kasa", listed)
	}
	if listed, _ := c.online(other); listed != 2 {
		t.Errorf("%d listed to tpCamera", listed)
	}
	if code := c.call(other, "logoutAll", p{}, nil); code != 0 {
		t.Error(code)
	}
	if code := c.call(token, "getDeviceList", p{}, nil); code != v1.TokenExpired {
		t.Errorf("after logoutAll: %d", code)
	}
	token = c.signIn()
	if code := c.call(token, "unbindDevice", p{"deviceId": "plug"}, nil); code != 0 {
		t.Error(code)
	}
	if listed, _ := c.online(token); listed != 0 {
		t.Errorf("%d listed after unbinding", listed)
	}
}

func TestServeEndsWithItsContextAndNamesWrongOptions(t *testing.T) {
	c := open(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.s.Serve(ctx, l, c.s.API()) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/forgot")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a page without the website: %d", resp.StatusCode)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	bad := account.DefaultPolicy()
	bad.PasswordMin, bad.ResetLife = 3, 0
	_, err = account.New(account.Options{BaseURL: "ftp://x", Policy: bad})
	for _, s := range []string{"store and log", "base URL", "reset_life: 0s", "password_min: 3 is not within 6 to 32"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("error %v does not contain %q", err, s)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
