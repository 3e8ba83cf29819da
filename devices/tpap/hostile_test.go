package tpap_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tpap"
)

// hostile is a web server on loopback that answers as it likes.
func hostile(t *testing.T, h http.HandlerFunc) home.Device {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return home.Device{ID: "mac-3c6ad2010203", Keys: []string{"mac:3c6ad2010203"}, Protocol: home.TPAP, Addr: at}
}

const good = `{"error_code":0,"result":{"mac":"3C-6A-D2-01-02-03","tpap":{"tls":1,"port":443,"dac":0,"pake":[2],"user_hash_type":0}}}`

func says(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func TestTheOwnerIsToldWhatToDo(t *testing.T) {
	var asked string
	dev := hostile(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		asked = string(raw)
		says(good)(w, r)
	})
	f := probe(t, driver(t, tpap.Options{}), dev, both)
	expect(t, f, home.Unknown, home.ThirdPartyOff)
	if hint := f.Verdict.Hint("door"); !strings.Contains(hint, "Third-Party Compatibility") || f.Verdict.Detail == "" {
		t.Errorf("%q, %q", f.Verdict.Detail, hint)
	}
	if asked != `{"method":"login","params":{"sub_method":"discover"}}` {
		t.Errorf("it was asked %s", asked)
	}
	if err := driver(t, tpap.Options{}).Rekey(t.Context(), dev, move); !strings.Contains(home.HintOf(err), "Third-Party Compatibility") {
		t.Errorf("got %v", err)
	}
}

func TestHostileAnswersAreNoAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing":     says(""),
		"null":        says("null"),
		"list":        says("[]"),
		"half":        says(good[:40]),
		"deep":        says(strings.Repeat(`{"result":`, 20000)),
		"deep within": says(`{"error_code":0,"result":{"mac":"3C-6A-D2-01-02-03","tpap":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}}`),
		"quotes":      says("hello " + email),
		"too long":    says(good + strings.Repeat(" ", 70<<10)),
		"no identity": says(strings.Replace(good, "3C-6A-D2-01-02-03", "", 1)),
		"no TPAP":     says(strings.Replace(good, `"tpap"`, `"other"`, 1)),
		"403":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"less than it says": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, good)
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := probe(t, driver(t, tpap.Options{Timeout: 300 * time.Millisecond}), hostile(t, h), both)
			expect(t, f, home.Unknown, home.Unreachable)
			if said := fmt.Sprint(f); strings.Contains(said, "hello") {
				t.Errorf("it quotes a stranger: %s", said)
			}
		})
	}
	if _, err := tpap.New(tpap.Options{Timeout: -1}); err == nil {
		t.Error("a negative timeout is taken")
	}
}

func TestDefectsAreSeenThrough(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for defect, state := range map[sim.Defect]home.State{sim.Garbled: home.Unreachable, sim.Impostor: home.Mismatch} {
		s := play(t, sim.Spec{Kind: home.Plug, Protocol: home.TPAP, Username: email, Password: oldPair.Password, Defects: []sim.Defect{defect}})[0]
		expect(t, probe(t, driver(t, tpap.Options{}), seen(s), both), home.Unknown, state)
		s.PowerOff()
	}
}

func FuzzAnswerIsReadOrRefused(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"error_code":-40401,"result":{"mac":"3c6ad2010203","tpap":{}}}`))
	f.Add([]byte(`{"error_code":0,"result":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key, ok := tpap.ParsePlate(raw); ok && (len(key) != len("mac:")+12 || strings.Trim(key[4:], "0123456789abcdef") != "") {
			t.Errorf("%q", key)
		}
	})
}
