package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
)

// screen shows how far the demo is: a live table with a progress bar on a terminal, plain lines elsewhere.
type screen struct {
	w    io.Writer
	live bool

	mu    sync.Mutex // guards what follows
	what  string
	max   int
	drawn int // lines that are redrawn
	last  time.Time
	n     int
}

// newScreen returns a screen that draws on a terminal, and prints plain lines to anything else.
func newScreen(w io.Writer, verbose bool) *screen {
	f, ok := w.(*os.File)
	return &screen{w: w, live: ok && !verbose && term.IsTerminal(int(f.Fd()))}
}

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.w, text)
}

// begin begins a step of max devices.
func (s *screen) begin(what string, max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what, s.max, s.n = what, max, -1
}

// rowsShown is how many devices the live table shows: what fits a small terminal.
const rowsShown = 16

// progress shows that n devices are done.
func (s *screen) progress(n int, rows []daemon.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == s.n && time.Since(s.last) < time.Second {
		return
	}
	if !s.live {
		return
	}
	s.n, s.last = n, time.Now()
	s.erase()
	var b strings.Builder
	_ = terminal.PrintRows(&b, rows[:min(len(rows), rowsShown)]) // a Builder takes everything
	if more := len(rows) - rowsShown; more > 0 {
		fmt.Fprintf(&b, "… and %d more\n", more)
	}
	b.WriteString(bar(s.what, n, s.max) + "\n")
	s.drawn = strings.Count(b.String(), "\n")
	_, _ = io.WriteString(s.w, b.String())
}

// bar draws how far a step is. A library for it costs a router's flash 200 kB.
func bar(what string, n, of int) string {
	const width = 40
	full := width
	if of > 0 {
		full = width * n / of
	}
	return fmt.Sprintf("%s [%s%s] %d of %d", what, strings.Repeat("=", full), strings.Repeat(" ", width-full), n, of)
}

// end ends the step.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// table prints devices for good: it is not redrawn.
func (s *screen) table(rows []daemon.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	_ = terminal.PrintRows(s.w, rows[:min(len(rows), 2*rowsShown)])
	if more := len(rows) - 2*rowsShown; more > 0 {
		fmt.Fprintf(s.w, "… and %d more\n", more)
	}
}

// erase takes back what was drawn last; s.mu is held.
func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}
