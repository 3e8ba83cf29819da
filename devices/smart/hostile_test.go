package smart_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/smart"
)

// TestHostileDevicesAreBoundedInTimeAndLength lets all sorts of servers stand at a device's address.
func TestHostileDevicesAreBoundedInTimeAndLength(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, h := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"an error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"a short one":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 47)) },
		"a long one":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 49)) },
		"another hash": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 48)) },
		"no end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the other end has gone
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			at := netip.MustParseAddrPort(s.Listener.Addr().String())
			d, err := smart.New(smart.Options{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			dev := home.Device{ID: "mac-5ce931000001", Addr: at}
			begun := time.Now()
			f, err := d.Probe(t.Context(), dev, both)
			if err != nil || f.Match == home.Ours || f.Verdict.State != home.Unreachable && f.Verdict.State != home.Mismatch {
				t.Errorf("%+v %v", f, err)
			}
			if err := d.Rekey(t.Context(), dev, move); err == nil {
				t.Error("moved")
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
