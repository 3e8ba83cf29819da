package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
)

// screen shows how far the demo is: a live table with a progress bar on a terminal, plain lines elsewhere.
type screen struct {
	w    io.Writer
	live bool

	mu   sync.Mutex // guards the fields below
	what string
	max  int
	area terminal.Area
	last time.Time
	n    int
}

// newScreen returns a screen that draws on a terminal, and prints plain lines to anything else.
func newScreen(w io.Writer, verbose bool) *screen {
	return &screen{w: w, live: !verbose && terminal.ScreenOf(w).Live(), area: terminal.Area{W: w}}
}

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.area.Erase()
	for _, line := range terminal.Wrap(text, terminal.ScreenOf(s.w).Width) {
		fmt.Fprintln(s.w, line)
	}
}

// begin begins a step of max devices.
func (s *screen) begin(what string, max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what, s.max, s.n = what, max, -1
}

// progress shows that n devices are done, and the devices that are not, as far as they fit the terminal.
func (s *screen) progress(n int, rows []daemon.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == s.n && time.Since(s.last) < time.Second || !s.live {
		return
	}
	s.n, s.last = n, time.Now()
	at := terminal.ScreenOf(s.w)
	var b strings.Builder
	_ = terminal.PrintHouse(&b, at, rows, false) // a Builder takes everything
	s.area.Draw(at, b.String(), terminal.Bar(s.what, n, s.max, at.Width-1))
}

// end ends the step.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.area.Erase()
}

// rowsShown is how many devices a table has that is not redrawn.
const rowsShown = 32

// table prints devices for good: it is not redrawn.
func (s *screen) table(rows []daemon.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.area.Erase()
	_ = terminal.PrintHouse(s.w, terminal.ScreenOf(s.w), slices.Clone(rows[:min(len(rows), rowsShown)]), false)
	if more := len(rows) - rowsShown; more > 0 {
		fmt.Fprintf(s.w, "… and %d more\n", more)
	}
}
