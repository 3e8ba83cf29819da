package smart_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/smart"
)

// either is one of the drivers.
type either interface {
	Probe(context.Context, home.Device, home.Candidates) (home.Finding, error)
	Rekey(context.Context, home.Device, home.Move) error
	Relay(context.Context, home.Device, home.Candidates, []byte) ([]byte, error)
}

func replies(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// TestHostileDevicesAreBoundedInTimeAndLength lets all sorts of servers stand at a device's address.
func TestHostileDevicesAreBoundedInTimeAndLength(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		},
		"an error": func(w http.ResponseWriter,
			_ *http.Request,
		) {
			w.WriteHeader(http.StatusInternalServerError)
		},
		"nothing":      replies(""),
		"a short one":  replies(strings.Repeat("\x00", 47)),
		"a long one":   replies(strings.Repeat("\x00", 49)),
		"another hash": replies(strings.Repeat("\x00", 48)),
		"too long":     replies(`{"error_code":0,"x":"` + strings.Repeat("x", 70<<10) + `"}`),
		"null":         replies("null"),
		"a list":       replies("[]"),
		"deep":         replies(strings.Repeat(`{"result":`, 7000)),
		"deep lists": replies(`{"error_code":0,"result":` + strings.Repeat("[", 9000) + strings.Repeat("]",
			9000) + `}`),
		"a big code":              replies(`{"error_code":1e400}`),
		"quotes":                  replies("hello " + email),
		"no key":                  replies(`{"error_code":0,"result":{"key":""}}`),
		"a key of another length": replies(`{"error_code":0,"result":{"key":"AAAA"}}`),
		"a key for another":       replies(`{"error_code":0,"result":{"key":"` + strings.Repeat("A", 171) + `="}}`),
		"always busy":             replies(`{"error_code":1002}`),
		"always ended":            replies(`{"error_code":9999}`),
		"a cookie that cuts": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "TP_SESSIONID=a\tb,c")
			_, _ = w.Write(make([]byte, 48))
		},
		"long headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) },
		"hangs up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"less than its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "48")
			_, _ = w.Write(make([]byte, 20))
		},
		"no end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
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
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the other end has gone
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s := httptest.NewServer(h)
			defer s.Close()
			s.Config.ErrorLog = nil
			dev := home.Device{ID: "mac-5ce931000001", Addr: netip.MustParseAddrPort(s.Listener.Addr().String())}
			k, err := smart.New(smart.Options{Timeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			b := purse(3)
			for _, d := range []either{k, aes(t, smart.AESOptions{Timeout: 300 * time.Millisecond, Budget: b})} {
				begun := time.Now()
				f, err := d.Probe(t.Context(), dev, agreedBoth)
				if err != nil || f.Match == home.Ours || f.Verdict.State != home.Unreachable && f.Verdict.State != home.Mismatch {
					t.Errorf("%+v %v", f, err)
				}
				rerr := d.Rekey(t.Context(), dev, agreedMove)
				if rerr == nil {
					t.Error("moved")
				}
				if _, err := d.Relay(t.Context(), dev, agreedBoth, []byte(`{}`)); err == nil {
					t.Error("it spoke")
				}
				if text := fmt.Sprint(f, rerr); strings.Contains(text, "hello") || strings.Contains(text, email) {
					t.Errorf("it quotes: %s", text)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
			}
			if b.calls != 0 {
				t.Errorf("%d sign-ins were sent to what shook no hands", b.calls)
			}
		})
	}
}
