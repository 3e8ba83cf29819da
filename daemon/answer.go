package daemon

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// read decodes the one JSON value of a request, of at most 1 MiB, into a struct that has all of its fields.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &home.Error{Op: "read the request", Err: errors.New("malformed JSON or an unknown field")}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &home.Error{Op: "read the request", Err: errors.New("more than one JSON value")}
	}
	return nil
}

// answer sends v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

// Refusal is an error on its way to a client, which makes it a home.Error again.
type Refusal struct {
	Op     string        `json:"op"`
	Device home.DeviceID `json:"device,omitempty"`
	Error  string        `json:"error"`
	Hint   string        `json:"hint,omitempty"`
	Code   string        `json:"code,omitempty"` // the sentinel; see home.ErrorCode
}

// refuse answers with a Refusal.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(refusalOf(err))
}

// refusalOf returns err as a Refusal.
func refusalOf(err error) Refusal {
	out := Refusal{Op: "answer", Error: err.Error(), Hint: home.HintOf(err), Code: home.ErrorCode(err)}
	if e, ok := errors.AsType[*home.Error](err); ok {
		out.Op, out.Device, out.Error = e.Op, e.Device, e.Err.Error()
	}
	return out
}

// guard refuses requests under a name that is not this machine's: see home.OwnHost.
func (f *Face) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !home.OwnHost(home.HostOf(r), f.o.Names...) {
			http.Error(w, "ask for this page by address", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
