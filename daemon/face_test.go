package daemon_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newFace(t *testing.T, h *house, login func(context.Context, daemon.Login) error) *daemon.Face {
	t.Helper()
	f, err := daemon.NewFace(daemon.FaceOptions{
		Engine: h.engine, Hub: "hub-1", History: h.store.History, Login: login,
		Link: func() (bool, string) { return false, "no broker answers" },
		Troubles: func() []home.Trouble {
			return []home.Trouble{{What: "the disk <i> is full", Hint: "make room"}}
		},
	})
	must(t, err)
	return f
}

func get(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	h.ServeHTTP(w, r)
	return w
}

func TestTheStatusHasTroublesAndDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.lan.held[front] = &played{match: home.Ours, holds: 1}
		f := newFace(t, h, func(context.Context, daemon.Login) error { return nil })
		h.run(func() {
			h.lan.sightings <- []home.Sighting{{
				Source: "iot-udp", Protocol: home.IOT, Keys: []string{"mac:000000000001"}, Kind: home.Plug,
				Name: "<script>alert(1)</script>",
				Addr: netip.MustParseAddrPort("127.9.0.1:9999"), At: time.Now(),
			}}
			time.Sleep(time.Second)
			var s daemon.Status
			must(t, json.Unmarshal(get(f.Public(), "GET", "http://127.0.0.1:7353/v1/status", "").Body.Bytes(), &s))
			if len(s.Troubles) != 1 || s.Link != "down" || s.Reason == "" || len(s.Devices) != 1 ||
				s.Devices[0].Verdict != home.Stale && s.Devices[0].Verdict != home.Current {
				t.Errorf("status %+v", s)
			}
		})
	})
}

func TestOnlyTheOwnersSocketShowsTheEmailAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		f := newFace(t, h, func(context.Context, daemon.Login) error { return nil })
		for _, path := range []string{"/v1/status", "/v1/history"} {
			w := get(f.Public(), "GET", "http://127.0.0.1:7353"+path, "")
			body := w.Body.String()
			if w.Code != http.StatusOK || strings.Contains(strings.ToLower(body), "anna") {
				t.Errorf("the page's port answers %s with %d and\n%s", path, w.Code, body)
			}
			if path != "/v1/history" && !strings.Contains(body, "A***@example.org") {
				t.Errorf("%s does not name the account, masked:\n%s", path, body)
			}
		}
		var s daemon.Status
		must(t, json.Unmarshal(get(f.Private(), "GET", "http://localhost/v1/status", "").Body.Bytes(), &s))
		if s.Account != "Anna@example.org" {
			t.Errorf("the owner's socket shows %q", s.Account)
		}
	})
}

func TestPublicPortTakesNoOrdersAndKnowsItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		f := newFace(t, h, func(context.Context, daemon.Login) error { return nil })
		for _, path := range []string{"/v1/bind", "/v1/unbind", "/v1/rekey", "/v1/login"} {
			if w := get(f.Public(), "POST", "http://127.0.0.1:7353"+path, `{"devices":[]}`); w.Code != http.StatusNotFound &&
				w.Code != http.StatusMethodNotAllowed {
				t.Errorf("POST %s: %d", path, w.Code)
			}
		}
		// A page of another site that has its name lead here (DNS rebinding) reads nothing.
		if w := get(f.Public(), "GET", "http://evil.example:7353/v1/status", ""); w.Code != http.StatusMisdirectedRequest {
			t.Errorf("under a foreign name: %d", w.Code)
		}
	})
}

func TestOrdersAreCheckedAndRefusalsKeepTheirMeaning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var got daemon.Login
		f := newFace(t, h, func(_ context.Context, l daemon.Login) error {
			got = l
			return &home.Error{Op: "sign in", Err: home.ErrCredential, Hint: "check both"}
		})
		w := get(f.Private(), "POST", "http://localhost/v1/login", `{"email":"a@example.org","password":"secret-of-a"}`)
		var r daemon.Refusal
		must(t, json.Unmarshal(w.Body.Bytes(), &r))
		if w.Code == http.StatusOK || r.Code != "credential" || r.Hint != "check both" ||
			strings.Contains(w.Body.String(), "secret-of-a") {
			t.Errorf("refusal %d %+v", w.Code, r)
		}
		if got.Email != "a@example.org" || got.Password.Reveal() != "secret-of-a" {
			t.Errorf("login came as %v", got)
		}
		for name, body := range map[string]string{
			"no JSON": "{", "unknown field": `{"device":[]}`, "two values": `{}{}`,
			"wrong type": `{"devices":3}`,
		} {
			if w := get(f.Private(), "POST", "http://localhost/v1/bind", body); w.Code == http.StatusOK {
				t.Errorf("%s: taken", name)
			}
		}
		w = get(f.Private(), "POST", "http://localhost/v1/bind", `{"devices":["mac-000000000009"]}`)
		must(t, json.Unmarshal(w.Body.Bytes(), &r))
		if r.Code != "not-found" || r.Device != "mac-000000000009" {
			t.Errorf("bind of an unknown device: %+v", r)
		}
	})
}

func TestHealthzNamesAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		full := false
		f, err := daemon.NewFace(daemon.FaceOptions{
			Engine: h.engine, Hub: "hub-1", History: h.store.History, Link: func() (bool, string) { return true, "" },
			Login: func(context.Context, daemon.Login) error { return nil },
			Failed: func() (home.Trouble, bool) {
				return home.Trouble{What: "the disk is full (/state/rekeyd.db)"}, full
			},
		})
		must(t, err)
		h.run(func() {
			if w := get(f.Public(), "GET", "http://127.0.0.1:7353/healthz", ""); w.Code != http.StatusOK {
				t.Errorf("healthy: %d %s", w.Code, w.Body)
			}
			full = true
			w := get(f.Public(), "GET", "http://127.0.0.1:7353/healthz", "")
			if w.Code != http.StatusServiceUnavailable ||
				!strings.Contains(w.Body.String(), "the disk is full (/state/rekeyd.db)") {
				t.Errorf("with a full disk: %d %s", w.Code, w.Body)
			}
		})
		w := get(f.Public(), "GET", "http://127.0.0.1:7353/healthz", "") // the engine has ended
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("without an engine: %d %s", w.Code, w.Body)
		}
	})
}
