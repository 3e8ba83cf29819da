package supervisor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// IsJournal reports whether a file leads to the journal of systemd, which then reads a level before each line
// (systemd.exec(5), $JOURNAL_STREAM; sd-daemon(3)).
func IsJournal(f *os.File, getenv func(string) string) bool {
	var st syscall.Stat_t
	if getenv("JOURNAL_STREAM") == "" || syscall.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journal passes each record to a handler that begins its lines with the record's level, as syslog(3) counts it.
type journal struct {
	levels map[slog.Level]slog.Handler // debug, info, warn and error
	least  slog.Leveler
}

// NewJournal returns a handler for the journal: text with the level before it, and without a time, which the journal
// has itself.
func NewJournal(w io.Writer, least slog.Leveler) slog.Handler {
	j := journal{levels: map[slog.Level]slog.Handler{}, least: least}
	for level, priority := range map[slog.Level]string{
		slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>",
	} {
		j.levels[level] = slog.NewTextHandler(prefixed{w, priority}, &slog.HandlerOptions{
			Level: least,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				_, level := a.Value.Any().(slog.Level)
				if len(groups) == 0 && (a.Key == slog.LevelKey && level || a.Key == slog.TimeKey) {
					return slog.Attr{}
				}
				return a
			},
		})
	}
	return j
}

// prefixed writes a text before each write: slog makes one for each record.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(b []byte) (int, error) {
	var line strings.Builder
	line.WriteString(p.prefix)
	line.Write(b)
	if _, err := io.WriteString(p.w, line.String()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Enabled is slog.Handler.
func (j journal) Enabled(_ context.Context, l slog.Level) bool { return l >= j.least.Level() }

// Handle is slog.Handler.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	level := slog.LevelDebug
	for _, l := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if r.Level >= l {
			level = l
		}
	}
	return j.levels[level].Handle(ctx, r)
}

// WithAttrs is slog.Handler.
func (j journal) WithAttrs(as []slog.Attr) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(as) })
}

// WithGroup is slog.Handler.
func (j journal) WithGroup(name string) slog.Handler {
	return j.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j journal) with(change func(slog.Handler) slog.Handler) slog.Handler {
	out := journal{levels: map[slog.Level]slog.Handler{}, least: j.least}
	for level, h := range j.levels {
		out.levels[level] = change(h)
	}
	return out
}
