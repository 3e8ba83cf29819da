package daemon_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// exposed finds a line of the text format of Prometheus.
var exposed = regexp.MustCompile(
	`^(# HELP [a-z_]+ \S.*|# TYPE [a-z_]+ (gauge|counter)|[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"\})? [0-9.e+]+)$`,
)

// TestMetricsCountTheHouse reads the metrics of a house in which a device was moved.
func TestMetricsCountTheHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var waiting []string
		f, err := daemon.NewFace(daemon.FaceOptions{
			Engine: h.engine, Hub: "hub-1", History: h.store.History, Link: func() (bool, string) { return true, "" },
			Login:   func(context.Context, daemon.Login) error { return nil },
			Version: "1.2.3 \"of\\today\"\n", Waiting: func() []string { return waiting },
		})
		must(t, err)
		h.run(func() {
			const front, back = "mac-50c7bf000001", "mac-50c7bf000002"
			h.lan.held[front], h.lan.held[back] = &played{match: home.Ours, holds: 1}, &played{match: home.Ours, holds: 1}
			h.take(front)
			h.see(front, back)
			h.begin(2)
			time.Sleep(time.Minute)
			must(t, h.store.SignedIn(acct, 2, []home.DeviceID{front}))
			h.engine.SignedIn([]home.DeviceID{front})
			time.Sleep(time.Second)
			w := get(f.Public(), "GET", "http://127.0.0.1:7353/metrics", "")
			text := w.Body.String()
			for _, want := range []string{
				"rekeyd_build_info{version=\"1.2.3 \\\"of\\\\today\\\"\\n\"} 1", `rekeyd_devices{group="kept"} 1`,
				`rekeyd_devices{group="others"} 1`, `rekeyd_bound_devices{verdict="current"} 1`, "rekeyd_password_epoch 2",
				"rekeyd_link_up 1", "rekeyd_signed_in 1", "rekeyd_rekeys_total 1", "# TYPE rekeyd_rekeys_total counter",
			} {
				if !strings.Contains("\n"+text, "\n"+want+"\n") {
					t.Errorf("%s is missing", want)
				}
			}
			for line := range strings.Lines(text) {
				if !exposed.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("no line of the format: %q", line)
				}
			}
			if strings.Contains(text, front) || strings.Contains(strings.ToLower(text), "anna") || t.Failed() {
				t.Errorf("%d\n%s", w.Code, text)
			}

			if w := get(f.Public(), "GET", "http://127.0.0.1:7353/readyz", ""); w.Code != http.StatusOK {
				t.Errorf("ready: %d %s", w.Code, w.Body)
			}
			waiting = []string{"broker (127.0.0.1:7355)"}
			w = get(f.Public(), "GET", "http://127.0.0.1:7353/readyz", "")
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "broker (127.0.0.1:7355)") {
				t.Errorf("with a closed port: %d %s", w.Code, w.Body)
			}
		})
	})
}
