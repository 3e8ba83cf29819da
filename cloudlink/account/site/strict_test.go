package site_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// TestOnlyAWholeHostIsStrict: HSTS holds for all ports of a host (RFC 6797, 8.3), and a hub may have other services.
func TestOnlyAWholeHostIsStrict(t *testing.T) {
	for base, want := range map[string]string{
		"https://account.example.org":  "max-age=31536000",
		"https://hub.example.org:7354": "",
		"http://account.example.org":   "",
	} {
		st, err := boltstore.Open(t.TempDir(), home.Secret{})
		must(t, err)
		s, err := server.New(server.Options{
			Store: st, BaseURL: base, Brokers: []string{"mqtt://127.0.0.1:1"}, Mail: &box{},
			Policy: account.DefaultPolicy(), Log: slog.New(slog.DiscardHandler),
		})
		must(t, err)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, base+"/", nil))
		if got := w.Header().Get("Strict-Transport-Security"); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: status %d, %q; want %q", base, w.Code, got, want)
		}
		must(t, s.Close())
	}
}
