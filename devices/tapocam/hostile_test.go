package tapocam_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// login sends one login to a simulated camera.
func login(t *testing.T, s *sim.Device, body string) (string, error) {
	t.Helper()
	c := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	got, err := c.Post("https://"+s.Addr().String()+"/", "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	return string(raw), err
}

// hostile is a web server on loopback that answers as it likes.
func hostile(t *testing.T, h http.HandlerFunc) home.Device {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.EnableHTTP2 = false
	s.StartTLS()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return home.Device{ID: "mac-1c61b4010203", Keys: []string{"mac:1c61b4010203"}, Protocol: home.TapoCam, Addr: at}
}

const blocked = `{"error_code":-40404,"result":{"data":{"code":-40404,"sec_left":%s}}}`

func TestHostileAnswersAreNoAnswers(t *testing.T) {
	replies := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	for name, c := range map[string]struct {
		h     http.HandlerFunc
		state home.State
	}{
		"nothing": {replies(""), home.Unreachable},
		"null":    {replies("null"), home.Unreachable},
		"a list":  {replies("[]"), home.Unreachable},
		"deep":    {replies(strings.Repeat(`{"result":`, 20000)), home.Unreachable},
		"deep types": {replies(`{"error_code":-40413,"result":{"data":{"encrypt_type":` + strings.Repeat("[",
			9000) + strings.Repeat("]", 9000) + `}}}`), home.Unsupported},
		"quotes":   {replies("hello " + email), home.Unreachable},
		"too long": {replies(`{"error_code":0,"x":"` + strings.Repeat("x", 70<<10) + `"}`), home.Unreachable},
		"lets in":  {replies(`{"error_code":0,"result":{"stok":"abc","start_seq":1}}`), home.Unreachable},
		"bad nonce": {
			replies(`{"error_code":-40413,"result":{"data":{"nonce":"../../x","device_confirm":"00"}}}`),
			home.Unreachable,
		},
		"long nonce": {replies(`{"error_code":-40413,"result":{"data":{"nonce":"` + strings.Repeat("A",
			1000) + `","device_confirm":"00"}}}`), home.Unreachable},
		"no proof": {
			replies(`{"error_code":-40413,"result":{"data":{"nonce":"1011121314151617","device_confirm":""}}}`),
			home.Mismatch,
		},
		"403": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			home.ThirdPartyOff,
		},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, home.Unreachable},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, home.Unreachable},
		"hangs up":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, home.Unreachable},
		"locked":      {replies(fmt.Sprintf(blocked, "60")), home.LockedOut},
		"for ever":    {replies(fmt.Sprintf(blocked, "9223372036854775807")), home.LockedOut},
		"in the past": {replies(fmt.Sprintf(blocked, "-5")), home.LockedOut},
		"long headers": {
			func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) },
			home.Unreachable,
		},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}, home.Unreachable},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(10 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		}, home.Unreachable},
		"silent": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}, home.Unreachable},
		"no count": {replies(`{"error_code":-40401}`), home.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			dev := hostile(t, c.h)
			b := purse()
			timeout := 30 * time.Second // a busy machine needs longer for an answer
			if c.state == home.Unreachable {
				timeout = 300 * time.Millisecond
			}
			d := driver(t, tapocam.Options{Timeout: timeout, Budget: b})
			f := probe(t, d, dev, both)
			expect(t, f, home.Unknown, c.state, 0)
			if c.state == home.LockedOut && time.Until(f.Verdict.Until) > 25*time.Hour {
				t.Errorf("until %v", f.Verdict.Until)
			}
			err := d.Rekey(t.Context(), dev, move)
			if err == nil {
				t.Error("rekeyed")
			}
			if text := fmt.Sprint(f, err); strings.Contains(text, "hello") || strings.Contains(text, email) ||
				strings.Contains(text, "stok") {
				t.Errorf("it quotes: %s", text)
			}
			if b.calls != 0 {
				t.Errorf("%d sign-ins", b.calls)
			}
		})
	}
}

// What once gave a proof, and then asks for the password in the older way, is somebody else.
func TestNoCameraIsTalkedDown(t *testing.T) {
	old := false
	v := func(cnonce string) string {
		return fmt.Sprintf(
			`{"error_code":-40413,"result":{"data":{"nonce":"1011121314151617","max_time":10,"device_confirm":"%s"}}}`,
			tapocam.VectorOf("old-password", cnonce, "1011121314151617", false, "", 0).Confirm,
		)
	}
	var asked []string
	dev := hostile(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		asked = append(asked, string(raw))
		_, cnonce, _ := strings.Cut(string(raw), `"cnonce":"`)
		switch {
		case old, strings.Contains(string(raw), "digest_passwd"):
			_, _ = io.WriteString(w, `{"error_code":-40401,"result":{"data":{"code":-40401,"time":0,"max_time":10}}}`)
		default:
			_, _ = io.WriteString(w, v(cnonce[:16]))
		}
	})
	b := purse()
	d := driver(t, tapocam.Options{Budget: b})
	expect(t, probe(t, d, dev, both), home.Unknown, home.Mismatch, 0) // it refuses what it has proven
	if b.spent[dev.ID] != 1 {
		t.Errorf("%d sign-ins are counted", b.spent[dev.ID])
	}
	old = true
	expect(t, probe(t, d, dev, both), home.Unknown, home.Unreachable, 0)
	if err := d.Rekey(t.Context(), dev, move); !errors.Is(err, home.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	for _, a := range asked {
		if strings.Contains(a, "hashed") {
			t.Error("it received a password's hash")
		}
	}
}

func FuzzGreetingIsReadOrRefused(f *testing.F) {
	f.Add(200, []byte(fmt.Sprintf(blocked, "60")))
	f.Add(
		200,
		[]byte(
			`{"error_code":-40413,"result":{"data":{"code":-40401,"time":1,"max_time":10,"encrypt_type":["3"],`+
				`"nonce":"1011121314151617","device_confirm":"ab","key":"x"}}}`,
		),
	)
	f.Add(200, []byte(`{"error_code":0,"result":{"stok":"abc","start_seq":7}}`))
	f.Add(200, []byte(`{"error_code":-40401,"data":{"encrypt_type":"3"}}`))
	f.Add(403, []byte(`null`))
	f.Fuzz(func(t *testing.T, status int, raw []byte) {
		ok, locked, stok, nonce := tapocam.ParseGreeting(status, raw)
		if ok && (locked || status != 200) || strings.ContainsAny(stok+nonce, "/?#% \n:@") || len(stok) > 128 ||
			len(nonce) > 64 {
			t.Errorf("%t %t %q %q", ok, locked, stok, nonce)
		}
	})
}

func FuzzIdentityIsReadOrRefused(f *testing.F) {
	f.Add(
		[]byte(
			`{"device_info":{"basic_info":{"mac":"1C-61-B4-01-02-03","device_model":"C200","device_alias":"Door\u0007\n"}}}`,
		),
	)
	f.Add([]byte(`{"device_info":{"info":{"mac":"1c61b4010203"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, ok := tapocam.ParsePlate(raw)
		if ok && len(p.Keys) != 1 || len(p.Name) > 120 || strings.ContainsAny(p.Model+p.Name, "\n\r\x00\x1b") {
			t.Errorf("nameplate %+v", p)
		}
		if out, err := tapocam.Decrypt(raw); err == nil && len(out) >= len(raw) {
			t.Errorf("%d bytes of %d", len(out), len(raw))
		}
	})
}
