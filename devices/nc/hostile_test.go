package nc_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/drivertest"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/nc"
)

// What is no camera is not taken for one, and receives the request without a password only.
func TestNoOtherServerIsTakenForACamera(t *testing.T) {
	answer := func(status int, text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		})
	}
	for name, h := range map[string]http.Handler{
		"a page":                             answer(200, "<html>Router</html>"),
		"no page":                            answer(404, "{}"),
		"a redirection":                      http.RedirectHandler("https://127.0.0.1/login.fcgi", http.StatusFound),
		"JSON without a code":                answer(200, "{}"),
		"another code":                       answer(200, `{"errorCode":7}`),
		"a session without a password":       answer(200, `{"errorCode":0,"token":"t"}`),
		"a code that is no number":           answer(200, `{"errorCode":"1000x"}`),
		"forbidden":                          answer(403, `{"errorCode":1000}`),
		"a session that ended, from nowhere": answer(200, `{"errorCode":902}`),
	} {
		dev := serve(t, h)
		if err := nc.Recognise(t.Context(), dev.Addr); err == nil {
			t.Errorf("%s: recognised", name)
		}
		f, err := driver(t, drivertest.NewDisk()).Probe(t.Context(), dev, candidates())
		if err != nil || f.Verdict.State != home.Unreachable || f.Match != home.Unknown {
			t.Errorf("%s: found %s, %s, %v", name, f.Match, f.Verdict.State, err)
		}
	}
}

// FuzzStateIsReadOrRefused states that an answer leads to a state with a name that is fit to print, or to
// failure.ErrProtocol.
func FuzzStateIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", "{}", `{"errorCode":0,"status":4,"binded":1,"username":"a","cameraname":"c"}`,
		`{"status":"2","binded":"1"}`, `{"status":1e9,"binded":1}`, `{"status":2,"binded":true}`,
		`{"errorCode":902,"status":2,"binded":1}`, `{"status":2,"binded":1,"cameraname":"a\u202eb\n"}`, `{"status":"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _, name, err := nc.ReadState(raw)
		if err != nil && !errors.Is(err, failure.ErrProtocol) {
			t.Errorf("error %v", err)
		}
		if nameplate.Text(name) != name {
			t.Errorf("name %q", name)
		}
	})
}
