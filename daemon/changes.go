package daemon

import (
	"context"
	"io"
	"net/http"
	"time"
)

const (
	changesPace = 200 * time.Millisecond // between two lines, whatever the number of changes
	changesBeat = 5 * time.Second        // without a change; the state of the link is no row
	slowReader  = 10 * time.Second       // a client that does not read for so long is left
)

// changes answers with a line each time that the house may have changed, the first at once, until the client leaves.
// The client then asks for the status: nothing is lost when it is slow, and nothing is known twice.
func (f *Face) changes(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request was read; the server's limit for that must not end the answer
	w.Header().Set("Content-Type", "application/x-ndjson")
	for ctx := r.Context(); ctx.Err() == nil; {
		changed := f.o.Changes() // before the line: a change after it is not missed
		_ = out.SetWriteDeadline(time.Now().Add(slowReader))
		if _, err := io.WriteString(w, "{}\n"); err != nil || out.Flush() != nil {
			return
		}
		pause(ctx, changesPace, nil)
		pause(ctx, changesBeat, changed)
	}
}

// pause waits for d, for the end of ctx, or for changed.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-ctx.Done():
	case <-t.C:
	}
}
