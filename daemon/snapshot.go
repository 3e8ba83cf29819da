package daemon

import (
	"bytes"
	"net/http"
)

// snapshot answers a copy of the store. Its secrets are sealed.
func (f *Face) snapshot(w http.ResponseWriter, _ *http.Request) {
	var copied bytes.Buffer // so that an error is an answer of its own
	if err := f.o.Snapshot(&copied); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = copied.WriteTo(w) // an error means that the client has gone
}
