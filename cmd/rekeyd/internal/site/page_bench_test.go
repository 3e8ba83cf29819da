package site_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// BenchmarkThePageOfFiveHundredDevices is the server's time for the first page, whose first byte leaves when the whole
// page is made. The read of the house is a copy here: its store is measured elsewhere.
func BenchmarkThePageOfFiveHundredDevices(b *testing.B) {
	h := &house{status: daemon.Status{Account: "a"}}
	for i := range 500 {
		row := bound(fmt.Sprintf("mac-50c7bf35%04x", i), home.Current, "")
		row.Name = fmt.Sprintf("plug in room %d", i)
		h.status.Devices = append(h.status.Devices, row)
	}
	handler := siteOf(b, h, slog.New(slog.DiscardHandler), site.Base{}).Handler()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:7353/", nil)
	r.RemoteAddr = "127.0.0.1:5"
	size := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes/page")
}
