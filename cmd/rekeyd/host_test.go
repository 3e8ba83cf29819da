package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// TestThePagesAnswerUnderTheNamesOfTheOwnersDNS asks both ports under the names of --host, and under others. A page of
// another site that has its name lead here reads nothing.
func TestThePagesAnswerUnderTheNamesOfTheOwnersDNS(t *testing.T) {
	t.Parallel()
	if !nettest.InNamespace(t) {
		return
	}
	r := newRig(t, "plug:klap2=1")
	r.args = append(r.args, "--host", "House.example.org", "--host", "den")
	r.start()
	r.await("daemon", time.Minute, answers)
	for host, want := range map[string]int{
		"127.0.0.1": http.StatusOK, "LocalHost": http.StatusOK, "house.example.org": http.StatusOK, "DEN": http.StatusOK,
		"evil.example.org": http.StatusMisdirectedRequest, "den.evil.example.org": http.StatusMisdirectedRequest,
	} {
		for _, addr := range []string{defaultPage, defaultAccount} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", nil)
			ok(t, err)
			req.Host = host
			resp, err := http.DefaultClient.Do(req)
			ok(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s under the name %s: %d, want %d", addr, host, resp.StatusCode, want)
			}
		}
	}
}
