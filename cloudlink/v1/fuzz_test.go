package v1_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// An answer of a service is a result, a code, or unavailable. The text of an error is one line for a terminal, whatever
// the service answers, and never holds the token.
func FuzzAnswerIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		`{"error_code":0,"result":{"token":"t"}}`, `{"error_code":-20601,"msg":"Incorrect email or password"}`,
		`{"error_code":"-20661","msg":"Locked"}`, `{"error_code":0,"result":{"errorCode":-20661,"errorMsg":"x"}}`,
		`{"error_code":0,"result":[]}`, `{"msg":"\u001b[2J\n"}`, `[]`, `null`, ``, `{"error_code":1e99}`,
	} {
		f.Add(seed, 200)
	}
	f.Add("<html>", 502)
	var body, status atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status.Load().(int))
		_, _ = w.Write([]byte(body.Load().(string)))
	}))
	f.Cleanup(s.Close)
	c, err := v1.New(s.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer string, code int) {
		body.Store(answer)
		status.Store(200 + beyond200(code))
		var result struct{ Token string }
		err := c.Call(t.Context(), token, "login", struct{}{}, &result)
		if err == nil {
			return
		}
		_, coded := errors.AsType[*v1.Error](err)
		if !coded && !errors.Is(err, home.ErrUnavailable) {
			t.Errorf("%v is neither a code nor unavailable", err)
		}
		text := err.Error()
		if strings.Contains(text, token.Reveal()) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("the error %q is not fit to print", text)
		}
	})
}

// beyond200 maps any number to a final status beyond 200, without those that have no body.
func beyond200(code int) int {
	n := (code%300 + 300) % 300
	if n == 4 || n == 104 {
		return 0
	}
	return n
}
