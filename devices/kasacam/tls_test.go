package kasacam_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
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
	"github.com/rekeyd/rekeyd/devices/kasacam"
	"github.com/rekeyd/rekeyd/devices/post"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// hostile is a web server on loopback that answers as it likes, with one cipher or those that Go takes by itself.
func hostile(t *testing.T, h http.HandlerFunc, suites ...uint16) home.Device {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(suites) > 0 {
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: suites}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return home.Device{ID: "mac-50c7bf010203", Keys: []string{"mac:50c7bf010203"}, Protocol: home.KasaCam, Addr: at}
}

const good = `{"system":{"get_sysinfo":{"err_code":0,"system":{"mac":"50:C7:BF:01:02:03","model":"EC60(US)",` +
	`"alias":"Door","bind_status":true}}},` +
	`"smartlife.cam.ipcamera.cloud":{"get_info":{"err_code":0,"username":"ann@example.org","binded":1}}}`

func sealed(plain string) string { return base64.StdEncoding.EncodeToString(xor.Seal([]byte(plain))) }

func replies(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// A camera agrees to ciphers with RSA key exchange only. Go offers them because they are named, and not else.
func TestEveryCipherOfCamerasIsSpoken(t *testing.T) {
	for _, suite := range post.CameraSuites() {
		if strings.Contains(tls.CipherSuiteName(suite), "ECDSA") {
			continue // for certificates of another kind: devices/post has the test
		}
		t.Run(tls.CipherSuiteName(suite), func(t *testing.T) {
			dev := hostile(t, replies(sealed(good)), suite)
			expect(t, probe(t, driver(t, kasacam.Options{}), dev, both), home.Ours, home.Unsupported)
			if !strings.HasPrefix(tls.CipherSuiteName(suite), "TLS_RSA_") {
				return
			}
			l := post.New(dev.Addr, post.Options{TLS: true}) // names none
			defer l.Close()
			if _, err := l.Send(t.Context(), "/", nil, nil); !errors.Is(err, home.ErrUnreachable) {
				t.Errorf("Go offers it by itself: %v", err)
			}
		})
	}
}

// The answer of a camera that python-kasa has among its tests, by its hash; the plain text stands in
// devices/PROTOCOLS.md, section 5.1.
func TestAnswersAreThoseOfCameras(t *testing.T) {
	const plain = `{"timezone":"UTC-05:00","area":"America/New_York","epoch_sec":1690832800}`
	sum := sha256.Sum256([]byte(sealed(plain)))
	if got := hex.EncodeToString(sum[:]); got != "88a6ee8932d55f796cd92449be1506a4c106225ee51fb84fd8e416e1dba75b3e" {
		t.Errorf("sealed: %s", got)
	}
	if got := string(kasacam.Open([]byte(sealed(plain)))); got != plain {
		t.Errorf("opened: %s", got)
	}
	if got := string(kasacam.Open([]byte(`{"err_code":-10008}`))); got != `{"err_code":-10008}` {
		t.Errorf("in the clear: %s", got)
	}
}

func TestTheStatedOwnerOfACamera(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		match  home.Match
		state  home.State
	}{
		"the account's": {sealed(good), home.Ours, home.Unsupported},
		"another's":     {sealed(strings.Replace(good, "ann@", "bob@", 1)), home.Foreign, home.ForeignHeld},
		"no owner":      {sealed(strings.Replace(good, `"binded":1`, `"binded":0`, 1)), home.Unbound, home.Unsupported},
		"no cloud":      {sealed(strings.Replace(good, `"get_info"`, `"get_inf"`, 1)), home.Unknown, home.Unsupported},
		"another":       {sealed(strings.Replace(good, "01:02:03", "01:02:04", 1)), home.Unknown, home.Mismatch},
		"in the clear":  {good, home.Ours, home.Unsupported},
	} {
		dev := hostile(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/data/LINKIE2.json" || r.Header.Get("Authorization") == "" ||
				strings.Contains(r.FormValue("content"), "null") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, c.answer)
		})
		f := probe(t, driver(t, kasacam.Options{}), dev, both)
		if f.Match != c.match || f.Verdict.State != c.state || f.Verdict.State == home.Unsupported && f.Verdict.Detail == "" {
			t.Errorf("%s: found %s, %s", name, f.Match, f.Verdict.State)
		}
	}
}

func TestHostileAnswersAreNoAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing":     replies(""),
		"null":        replies("null"),
		"no base64":   replies("%%%%"),
		"half":        replies(sealed(good)[:40]),
		"cut base64":  replies(sealed(good)[:41]),
		"list":        replies("[]"),
		"sealed null": replies(sealed("null")),
		"deep":        replies(sealed(strings.Repeat(`{"system":`, 5000))),
		"quotes":      replies("hello " + email),
		"too long":    replies(strings.Repeat("A", 70<<10)),
		"an error":    replies(`{"err_code":-10008,"err_msg":"Unsupported API call."}`),
		"no identity": replies(sealed(strings.Replace(good, "50:C7:BF:01:02:03", "", 1))),
		"500":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusPermanentRedirect)
		},
		"long headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) },
		"hangs up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"less than its length": func(w http.ResponseWriter, _ *http.Request) {
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
				if _, err := io.WriteString(w, strings.Repeat("AAAA", 1024)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := probe(t, driver(t, kasacam.Options{Timeout: 300 * time.Millisecond}), hostile(t, h), both)
			expect(t, f, home.Unknown, home.Unreachable)
			if text := fmt.Sprint(f); strings.Contains(text, "hello") {
				t.Errorf("it quotes a stranger: %s", text)
			}
		})
	}
	if _, err := kasacam.New(kasacam.Options{Timeout: -1}); err == nil {
		t.Error("a negative timeout is taken")
	}
}

func TestDefectsAreSeenThrough(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for defect, state := range map[sim.Defect]home.State{sim.Garbled: home.Unreachable, sim.Impostor: home.Mismatch} {
		s := play(
			t,
			sim.Spec{
				Kind: home.Camera, Protocol: home.KasaCam, Username: email, Password: oldPair.Password,
				Defects: []sim.Defect{defect},
			},
		)[0]
		expect(t, probe(t, driver(t, kasacam.Options{}), seen(s), both), home.Unknown, state)
		s.PowerOff()
	}
}

func FuzzAnswerIsReadOrRefused(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(sealed(good)))
	f.Add([]byte(`{"system":{"get_sysinfo":{"err_code":0,"mac":"50C7BF010203","alias":"a\u0007\n"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		plain := kasacam.Open(raw)
		match, d, ok := kasacam.ParseIdentity(plain, email)
		if ok && len(d.Keys) != 1 || len(d.Name) > 120 || strings.ContainsAny(d.Name+d.Model, "\n\r\x00\x1b") {
			t.Errorf("%+v", d)
		}
		if match == home.Ours && !strings.Contains(strings.ToLower(string(plain)), "@") &&
			!strings.Contains(string(plain), `\u`) {
			t.Error("ours, and no word of the account")
		}
	})
}
