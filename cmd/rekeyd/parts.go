package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// part is something that runs until it is told to end.
type part struct {
	name string
	run  func(context.Context) error
}

// parts returns everything that the daemon consists of, in the order of need.
func (a *app) parts() []part {
	return append(a.cloudParts(), part{"rekeyer", a.engine.Run})
}

// cloudParts returns all but the engine.
func (a *app) cloudParts() []part {
	var ps []part
	if a.broker != nil {
		ps = append(ps, part{"broker", func(ctx context.Context) error { return a.broker.Serve(ctx, a.brokerListener) }})
	}
	if a.service != nil {
		ps = append(ps, part{"account", a.service.Run})
	}
	if a.link != nil {
		ps = append(ps, part{"link", a.link.Run}, part{"vendor", a.vendor.Run})
	}
	for _, d := range a.doors {
		ps = append(ps, part{"door " + d.l.Addr().String(), func(ctx context.Context) error { return d.serve(ctx, d.l, d.h) }})
	}
	return ps
}

// run runs parts until ctx ends. A part that fails is started again alone, more slowly each time.
func (a *app) run(ctx context.Context, ps []part) {
	var all sync.WaitGroup
	for _, p := range ps {
		all.Go(func() { keep(ctx, a.o.Log, p.name, p.run) })
	}
	all.Wait()
}

// serve answers at a door of the house until ctx ends.
func (a *app) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.o.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	return srv.Serve(l)
}

// keep runs one part until ctx ends.
func keep(ctx context.Context, log *slog.Logger, name string, run func(context.Context) error) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Error("part ended", "part", name, "err", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
