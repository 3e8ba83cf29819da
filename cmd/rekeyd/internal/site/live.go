package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/page"
)

// changes announces to all who wait that the house has changed.
type changes struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// wait returns a channel that is closed at the next change.
func (c *changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

const (
	pace     = 500 * time.Millisecond // between two events, whatever the number of changes
	beat     = 15 * time.Second       // without an event, after which a comment shows whether the browser is still there
	liveLife = 30 * time.Minute       // then the browser asks again
	patience = 10 * time.Second       // with a browser that does not read
)

// houseLive sends the overview as server-sent events, each time that it has changed.
func (s *Site) houseLive(v *visit) {
	select {
	case s.live <- struct{}{}:
		defer func() { <-s.live }()
	default:
		http.Error(v.w, v.all.Site.TooManySessions, http.StatusServiceUnavailable)
		return
	}
	out := http.NewResponseController(v.w)
	_ = out.SetReadDeadline(time.Time{}) // the request was read; the server's limit for that must not end the answer
	page.Header(v.w.Header(), v.all.Tag)
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for the end
	ctx, stop := context.WithTimeout(v.r.Context(), liveLife)
	defer stop()
	send := func(format string, args ...any) bool {
		_ = out.SetWriteDeadline(time.Now().Add(patience))
		_, err := fmt.Fprintf(v.w, format, args...)
		return err == nil && out.Flush() == nil
	}
	f, last := filterOf(v.r), ""
	for ctx.Err() == nil {
		changed := s.changes.wait() // before the read: a change after it is not missed
		v.signed = s.access.signedIn(v.cookie(), time.Now())
		if !v.mayRead() {
			return
		}
		if st, err := s.o.Status(); err == nil {
			body := v.rows(st)
			if st.Account != "" {
				body = v.overview(st, f)
			}
			raw, _ := json.Marshal(map[string]string{"html": string(page.Below(v.s.o.Base.Prefix, body))}) // cannot fail
			if string(raw) != last {
				if last = string(raw); !send("event: progress\ndata: %s\n\n", raw) {
					return
				}
			}
		}
		sleep(ctx, pace, nil)
		if !sleep(ctx, beat, changed) && !send(": still here\n\n") {
			return
		}
	}
}

// sleep waits for d, for the end of ctx, or for changed; it reports whether that came first.
func sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}
