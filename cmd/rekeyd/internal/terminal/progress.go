package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// patience is how long a step goes on before its bar is drawn: what is done within a second needs none.
const patience = time.Second

// Bar draws how far a step is: "looking [=====     ] 5 of 10", in at most width columns.
func Bar(what string, n, of, width int) string {
	count := fmt.Sprintf(" %d of %d", n, of)
	room := max(min(width-Width(what)-Width(count)-len(" []"), 40), 0)
	if room < 5 {
		return cut(what+count, width)
	}
	full := room
	if of > 0 {
		full = room * min(n, of) / of
	}
	return fmt.Sprintf("%s [%s%s]%s", what, strings.Repeat("=", full), strings.Repeat(" ", room-full), count)
}

// Progress is a bar on a terminal for a step that takes longer than a second. Elsewhere nothing is drawn.
type Progress struct {
	w      io.Writer
	screen Screen
	what   string
	of     int
	begun  time.Time

	mu    sync.Mutex // guards what follows
	n     int
	drawn string // what stands there
	ended bool
}

// NewProgress begins a step of so many parts.
func NewProgress(w io.Writer, what string, of int) *Progress {
	p := &Progress{w: w, screen: ScreenOf(w), what: what, of: of, begun: time.Now()}
	if p.screen.Live() {
		time.AfterFunc(patience, func() { p.Add(0) })
	}
	return p
}

// Add counts parts that are done.
func (p *Progress) Add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n += n
	if !p.screen.Live() || p.ended || time.Since(p.begun) < patience {
		return
	}
	if bar := Bar(p.what, p.n, p.of, p.screen.Width-1); bar != p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K", bar)
		p.drawn = bar
	}
}

// End takes the bar back.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.ended = true
}
