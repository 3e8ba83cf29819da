package daemon

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// metrics writes the text format of Prometheus (its documentation, "Exposition formats", 0.0.4). The client library
// would cost a router 2.7 MB; a hub has a handful of gauges.
type metrics struct{ out bytes.Buffer }

// label is a label of a sample with its value.
type label struct{ name, value string }

// begin writes help and type of a metric. Samples follow.
func (m *metrics) begin(name, kind, help string) {
	fmt.Fprintf(&m.out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes a sample of the metric that was begun.
func (m *metrics) sample(name string, value float64, labels ...label) {
	m.out.WriteString(name)
	for i, l := range labels {
		m.out.WriteString([]string{"{", ","}[min(i, 1)])
		m.out.WriteString(l.name + `="` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(l.value) + `"`)
	}
	if len(labels) > 0 {
		m.out.WriteString("}")
	}
	m.out.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// gauge writes a metric of one sample.
func (m *metrics) gauge(name, help string, value float64, labels ...label) {
	m.begin(name, "gauge", help)
	m.sample(name, value, labels...)
}

// bit is a truth as a sample.
func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metrics answers with the house in numbers, for Prometheus. Names and addresses of devices are not in it, and no
// secret.
func (f *Face) metrics(w http.ResponseWriter, _ *http.Request) {
	s, err := f.PublicStatus()
	if err != nil {
		http.Error(w, "the state of the hub cannot be read; its log has the reason", http.StatusServiceUnavailable)
		return
	}
	var m metrics
	m.gauge("rekeyd_build_info", "The version that runs; always 1.", 1, label{"version", f.o.Version})
	m.gauge("process_start_time_seconds", "When the daemon was started, in seconds since 1970.",
		float64(f.o.Engine.started.UnixMilli())/1000)
	n := Summarize(s.Devices)
	m.begin("rekeyd_devices", "gauge", "Devices in each group of the house's page.")
	for _, g := range []struct {
		name string
		n    int
	}{{"needs_you", n.Need}, {"moving", n.Moving}, {"kept", n.Kept}, {"others", n.Others}} {
		m.sample("rekeyd_devices", float64(g.n), label{"group", g.name})
	}
	verdicts := map[home.State]int{}
	for _, r := range s.Devices {
		if r.Bound {
			verdicts[cmp.Or(r.Verdict, home.Unasked)]++
		}
	}
	m.begin("rekeyd_bound_devices", "gauge", "Bound devices by verdict.")
	for _, v := range slices.Sorted(maps.Keys(verdicts)) {
		m.sample("rekeyd_bound_devices", float64(verdicts[v]), label{"verdict", string(v)})
	}
	m.gauge("rekeyd_signed_in", "Whether this hub is signed in to an account.", bit(s.Account != ""))
	m.gauge("rekeyd_password_epoch", "Number of the account's newest password; 0 without an account.", float64(s.Epoch))
	m.gauge("rekeyd_link_up", "Whether the account's provider answers.", bit(s.Link == "up"))
	m.gauge("rekeyd_troubles", "Conditions that stop a part of the work until a person changes them.",
		float64(len(s.Troubles)))
	m.begin("rekeyd_rekeys_total", "counter", "Devices moved to a newer password since the start.")
	m.sample("rekeyd_rekeys_total", float64(f.o.Engine.rekeys.Load()))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = m.out.WriteTo(w) // an error means that the client has gone
}

// readyz answers 200 once every port is open and the daemon is healthy; else 503 with the cause.
func (f *Face) readyz(w http.ResponseWriter, r *http.Request) {
	if f.o.Waiting != nil {
		if ports := f.o.Waiting(); len(ports) > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, "not open yet: "+strings.Join(ports, ", "))
			return
		}
	}
	f.healthz(w, r)
}
