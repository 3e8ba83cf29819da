package site_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheServiceAnswersUnderNoOtherSitesName(t *testing.T) {
	v := visit(t, nil)
	for host, want := range map[string]int{
		strings.TrimPrefix(v.url, "http://"): http.StatusOK, "hub.local:7354": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest, "other.local": http.StatusMisdirectedRequest,
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
