package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// part is one long-running task of a hub or a service. run acquires what it needs, so that it can be called again after
// it failed.
type part struct {
	name string
	run  func(context.Context) error
	// vital parts are not restarted: without them the process has nothing to do, and ends with their error.
	vital bool
}

// The pause before a failed part runs again doubles with each failure. A part that ran longer than healthyAfter begins
// anew.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	healthyAfter = time.Minute
)

// runParts runs parts until ctx ends or a vital one fails, and returns the error of that one.
func runParts(ctx context.Context, log *slog.Logger, parts []part) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() {
			if !p.vital {
				restart(inner, log, p)
				return
			}
			err := p.run(inner)
			if inner.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("it ended unasked")
			}
			stop(&home.Error{Op: "run the " + p.name, Err: err, Hint: home.HintOf(err)})
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(inner)
}

// restart runs p until ctx ends. After a failure p runs again, alone, after a pause. A part whose address is missing
// tries again every second, and logs that once.
func restart(ctx context.Context, log *slog.Logger, p part) {
	var last string
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		began := time.Now()
		err := p.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > healthyAfter {
			pause = firstPause
		}
		missing := isMissing(err)
		if missing {
			pause = firstPause
		}
		if repeated := missing && err.Error() == last; !repeated {
			log.Error("part failed", partFailure(p, err, pause)...)
		}
		last = fmt.Sprint(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func partFailure(p part, err error, pause time.Duration) []any {
	facts := []any{"part", p.name, "err", err, "pause", pause}
	if hint := home.HintOf(err); hint != "" {
		facts = append(facts, "hint", hint)
	}
	return facts
}

// listening returns a part that opens l and serves there.
func listening(l *Listener, serve func(context.Context, net.Listener) error) part {
	return part{name: l.name, run: func(ctx context.Context) error {
		open, err := l.open()
		if err != nil {
			return err
		}
		l.onceOpened.Do(func() { close(l.opened) })
		return serve(ctx, open)
	}}
}

// lastAnswers is how long answers that are on their way have when a server ends: the one to rekeyd logout ends it.
const lastAnswers = 500 * time.Millisecond

// serveHTTP returns a function that answers with h until its context ends. The limits stop a slow or flooding client.
func serveHTTP(h http.Handler, log *slog.Logger) func(context.Context, net.Listener) error {
	return func(ctx context.Context, l net.Listener) error {
		srv := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		ended := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(ended)
			last, done := context.WithTimeout(context.Background(), lastAnswers)
			defer done()
			if srv.Shutdown(last) != nil {
				_ = srv.Close()
			}
		})
		defer stop()
		if err := srv.Serve(l); ctx.Err() == nil {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		<-ended
		return nil
	}
}
