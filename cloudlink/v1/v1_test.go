package v1_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func answering(t *testing.T, status int, body string) *v1.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	c, err := v1.New(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var token = home.NewSecret("tok3n-of/anna&x=1")

func TestCodesComeInEveryForm(t *testing.T) {
	for body, want := range map[string]v1.Code{
		`{"error_code":-20601,"msg":"Incorrect email or password"}`:            v1.WrongPassword,
		`{"error_code":"-20601","msg":"Incorrect email or password"}`:          v1.WrongPassword,
		`{"error_code":0,"result":{"errorCode":-20661,"errorMsg":"Locked"}}`:   v1.Locked,
		`{"error_code":0,"result":{"errorCode":"-20661","errorMsg":"Locked"}}`: v1.Locked,
		`{"error_code":-20651}`: v1.TokenExpired,
	} {
		err := answering(t, 200, body).Call(t.Context(), token, "login", nil, nil)
		e, ok := errors.AsType[*v1.Error](err)
		if !ok || e.Code != want {
			t.Errorf("%s: %v, want code %d", body, err, want)
			continue
		}
		if e.Error() == "" || errors.Is(err, home.ErrCredential) == errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%s: %v is neither a wrong credential nor for later", body, err)
		}
	}
}

func TestAResultIsRead(t *testing.T) {
	var r struct{ Token string }
	for _, body := range []string{`{"error_code":0,"result":{"token":"x"}}`, `{"error_code":"0","result":{"token":"x"}}`, `{"result":{"token":"x"}}`} {
		r.Token = ""
		if err := answering(t, 200, body).Call(t.Context(), token, "login", nil, &r); err != nil || r.Token != "x" {
			t.Errorf("%s: %v, %q", body, err, r.Token)
		}
	}
	if err := answering(t, 200, `{"error_code":0}`).Call(t.Context(), token, "logout", nil, &r); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoAnswerIsUnavailable(t *testing.T) {
	for i, c := range []struct {
		status int
		body   string
	}{
		{500, "<html>internal error</html>"},
		{502, ""},
		{200, "ok"},
		{200, `{"error_code":{}}`},
		{200, `{"error_code":"many"}`},
		{200, `{"error_code":0,"result":[1]}`},
		{200, strings.Repeat(" ", 5<<20) + `{"error_code":0}`},
	} {
		var r struct{ Token string }
		err := answering(t, c.status, c.body).Call(t.Context(), token, "login", nil, &r)
		if !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("case %d: %v, want home.ErrUnavailable", i, err)
		}
		if err != nil && strings.Contains(err.Error(), "tok3n") {
			t.Errorf("case %d tells the token: %v", i, err)
		}
	}
}

func TestErrorsTellNoToken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("token"); got != token.Reveal() {
			t.Errorf("token %q", got)
		}
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	c, err := v1.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} {
		err := c.Call(ctx, token, "getDeviceList", nil, nil)
		he, ok := errors.AsType[*home.Error](err)
		if !errors.Is(err, home.ErrUnavailable) || !ok || he.Hint == "" {
			t.Errorf("%v, want home.ErrUnavailable with a hint", err)
		}
		if all := fmt.Sprintf("%v %+v %q", err, he, errors.Unwrap(he)); strings.Contains(all, "tok3n") {
			t.Errorf("the token is told: %s", all)
		}
	}
}

func TestNewTakesURLsOnly(t *testing.T) {
	for _, bad := range []string{"", "account.example.org", "ftp://x", "http://", "http://%zz"} {
		if _, err := v1.New(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
