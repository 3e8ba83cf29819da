package daemon

import (
	"encoding/json"
	"net/http"
	"time"
)

// Probing is a line of the answer to POST /v1/probe: how far it is, and in the last line the result or the refusal.
type Probing struct {
	Done    int      `json:"done"`
	Of      int      `json:"of"`
	Found   []Probed `json:"found,omitempty"`
	Refusal *Refusal `json:"refusal,omitempty"`
	End     bool     `json:"end,omitempty"`
}

// probe asks devices which credential they hold. Devices answer after seconds, or not at all, so the answer is a line
// of JSON for each.
func (f *Face) probe(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Devices []string `json:"devices"`
	}
	err := read(w, r, &in)
	if err != nil {
		refuse(w, err)
		return
	}
	ids, err := f.o.Engine.named(in.Devices)
	if err != nil {
		refuse(w, err)
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request was read; the server's limit for that must not end the answer
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	line := Probing{}
	send := func() { // a client that has gone ends ctx
		_ = lines.Encode(line)
		_ = out.Flush()
	}
	found, err := f.o.Engine.ProbeEach(r.Context(), ids, func(done, of int) {
		line.Done, line.Of = done, of
		send()
	})
	line.Found, line.End = found, true
	if err != nil {
		refused := refusalOf(err)
		line.Refusal = &refused
	}
	send()
}
