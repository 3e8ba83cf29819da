package v1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	for _, body := range []string{
		`{"error_code":0,"result":{"token":"x"}}`, `{"error_code":"0","result":{"token":"x"}}`,
		`{"result":{"token":"x"}}`,
	} {
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
			t.Errorf("case %d reveals the token: %v", i, err)
		}
	}
}

func TestErrorsRevealNoToken(t *testing.T) {
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
			t.Errorf("the token is revealed: %s", all)
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

// Whoever answers can point elsewhere, or answer nothing that looks like success.
func TestWhatOnlyLooksLikeSuccessIsUnavailable(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{
		{200, `{}`},
		{200, `{"message":"welcome to this router"}`},
		{200, `{"error_code":null}`},
		{404, `{"message":"no such page"}`},
		{500, `{"error_code":0}`},
		{502, `{"error_code":0,"result":{"token":"x"}}`},
	} {
		err := answering(t, c.status, c.body).Call(t.Context(), token, "resetPassword", nil, nil)
		if !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%d %s: %v, want home.ErrUnavailable", c.status, c.body, err)
		}
	}
	err := answering(t, 413, `{"error_code":-10100,"msg":"Too large"}`).Call(t.Context(), token, "resetPassword", nil, nil)
	if e, ok := errors.AsType[*v1.Error](err); !ok || e.Code != v1.BadJSON {
		t.Errorf("%v, want the code that came with the status", err)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("another server received %s, and %q", r.Header.Get("Referer"), body)
		_, _ = w.Write([]byte(`{"error_code":0}`))
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/", status))
		c, err := v1.New(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Call(t.Context(), token, "login", map[string]string{"cloudPassword": "hunter22"}, nil)
		if !errors.Is(err, home.ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprint(status)) ||
			strings.Contains(err.Error(), "tok3n") {
			t.Errorf("%d: %v", status, err)
		}
		s.Close()
	}
}

// The words of a server are for people's eyes, and its own affair: it must not be able to write on their terminal, or
// at length.
func TestAServersMessageIsShownAsText(t *testing.T) {
	for msg, want := range map[string]string{
		"":                              "refused (code -1)",
		".":                             "refused (code -1)",
		"Incorrect email or password.":  "incorrect email or password (code -1)",
		"Ünbekannt":                     "ünbekannt (code -1)",
		"密码错误":                          "密码错误 (code -1)",
		"Ha\x1b[2J\nha":                 "ha [2J ha (code -1)",
		"A" + strings.Repeat("é", 5000): "a" + strings.Repeat("é", 199) + "… (code -1)",
	} {
		if got := (&v1.Error{Code: -1, Message: msg}).Error(); got != want {
			t.Errorf("%.30q: %q, want %q", msg, got, want)
		}
	}
}
