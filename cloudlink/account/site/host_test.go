package site_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account/site"
)

func TestTheServiceAnswersUnderNoOtherSitesName(t *testing.T) {
	v := visit(t, nil)
	for host, want := range map[string]int{
		strings.TrimPrefix(v.url, "http://"): http.StatusOK, "evil.example": http.StatusMisdirectedRequest,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.NewRequest(method, v.url+"/", strings.NewReader(`{"method":"login","params":{}}`))
			must(t, err)
			r.Header.Set("Content-Type", "application/json")
			r.Host = host
			resp, err := v.http.Do(r)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s under the name %q: %d, not %d", method, host, resp.StatusCode, want)
			}
		}
	}
}

func TestOwnNamesAreAddressesAndTheHostOfTheBaseURL(t *testing.T) {
	h := site.OwnHost("https://Account.example:8443", http.NotFoundHandler())
	const yes, no = http.StatusNotFound, http.StatusMisdirectedRequest
	for host, want := range map[string]int{
		"account.example": yes, "ACCOUNT.example:443": yes, "localhost:7354": yes, "[::1]:7354": yes, "[::1]": yes,
		"192.0.2.1": yes, "192.0.2.1:7354": yes,
		"": no, "evil.example": no, "evil.example:7354": no, "localhost.evil.example": no, "127.0.0.1.evil.example": no,
		"account.example.evil.example:443": no,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("under the name %q: %d, not %d", host, w.Code, want)
		}
	}
}
