package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
)

// newLog returns the log of a daemon: text on a terminal, text with levels for the journal of systemd, else a line of
// JSON for each record.
func newLog(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	f, file := w.(*os.File)
	switch {
	case terminal.ScreenOf(w).Live():
		return slog.New(slog.NewTextHandler(w, o))
	case file && supervisor.IsJournal(f, os.Getenv):
		return slog.New(supervisor.NewJournal(w, level))
	}
	o.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // else a number of nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
