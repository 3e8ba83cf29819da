package smart_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/smart"
)

// mangler stands before a device and passes on what it is asked. What the device answers inside a session goes through
// f.
func mangler(t *testing.T, d *sim.Device, f func(http.ResponseWriter, []byte)) home.Device {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+d.Addr().String()+r.URL.String(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		to.Header = r.Header
		got, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(to)
		if err != nil {
			t.Error(err)
			return
		}
		defer got.Body.Close()
		raw, err := io.ReadAll(got.Body)
		if err != nil {
			t.Error(err)
		}
		for name, values := range got.Header {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		if strings.HasPrefix(r.URL.Path, "/app/request") || r.URL.Query().Has("token") {
			f(w, raw)
			return
		}
		w.WriteHeader(got.StatusCode)
		_, _ = w.Write(raw)
	}))
	t.Cleanup(s.Close)
	dev := seen(d)
	dev.Addr = netip.MustParseAddrPort(s.Listener.Addr().String())
	return dev
}

// Who stands between, and can change what the device sends in its session, gains no more than that it is not believed.
func TestWhatIsChangedOnItsWayIsNotBelieved(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	status := func(code int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, _ []byte) { w.WriteHeader(code) }
	}
	with := func(f func([]byte) []byte) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, raw []byte) { _, _ = w.Write(f(raw)) }
	}
	for name, f := range map[string]func(http.ResponseWriter, []byte){
		"nothing":       with(func([]byte) []byte { return nil }),
		"half":          with(func(raw []byte) []byte { return raw[:len(raw)/2] }),
		"one less":      with(func(raw []byte) []byte { return raw[:len(raw)-1] }),
		"one more":      with(func(raw []byte) []byte { return append(raw, 0) }),
		"a block more":  with(func(raw []byte) []byte { return append(raw, make([]byte, 16)...) }),
		"far too much":  with(func(raw []byte) []byte { return append(raw, make([]byte, 70<<10)...) }),
		"backwards":     with(func(raw []byte) []byte { slices.Reverse(raw); return raw }),
		"zeros":         with(func(raw []byte) []byte { return make([]byte, len(raw)) }),
		"the last one":  with(func(raw []byte) []byte { raw[len(raw)-1] ^= 1; return raw }),
		"the first one": with(func(raw []byte) []byte { raw[0] ^= 1; return raw }),
		"the clear":     with(func([]byte) []byte { return bytes.Repeat([]byte(" "), 64) }),
		"403 always":    status(http.StatusForbidden),
		"404":           status(http.StatusNotFound),
		"500":           status(http.StatusInternalServerError),
		"302":           status(http.StatusFound),
	} {
		t.Run(name, func(t *testing.T) {
			ds := play(t, plug(email, "old-password"), older(email, "old-password"))
			b := purse(3)
			a := aes(t, smart.AESOptions{Budget: b, Timeout: 2 * time.Second})
			for i, d := range []either{driver(t), a} {
				dev := mangler(t, ds[i], f)
				got, err := d.Probe(t.Context(), dev, agreedBoth)
				if err != nil || got.Match == home.Ours || got.Verdict.State == home.Current || got.Verdict.State == home.Stale {
					t.Errorf("%s: %s, %s, %v", dev.Protocol, got.Match, got.Verdict.State, err)
				}
				if err := d.Rekey(t.Context(), dev, agreedMove); err == nil || !ds[i].Password().Equal(oldPair.Password) {
					t.Errorf("%s: moved, %v", dev.Protocol, err)
				}
				ds[i].PowerOff()
			}
			if wrong, _ := ds[1].SignIns(); wrong != 0 || b.spent[ds[1].ID()] != 0 {
				t.Errorf("%d wrong sign-ins, %d spent", wrong, b.spent[ds[1].ID()])
			}
		})
	}
}
