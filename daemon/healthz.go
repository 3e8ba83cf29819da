package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// healthTime is how long the engine may take for an answer.
const healthTime = 5 * time.Second

// healthz answers 200 while the engine goes round and changes can be written to the disk; else 503 with the cause.
func (f *Face) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	ctx, stop := context.WithTimeout(r.Context(), healthTime)
	defer stop()
	err := f.o.Engine.Alive(ctx)
	if f.o.Failed != nil && err == nil {
		if trouble, failed := f.o.Failed(); failed {
			err = errors.New(trouble.What)
		}
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err) // an error means that the client has gone
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
