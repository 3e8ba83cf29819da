package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// patience is how long a step goes on before its bar is drawn: a step of less than a second needs none.
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
	begun  time.Time

	mu    sync.Mutex // guards the fields below
	n, of int
	drawn string // the text that stands there
	ended bool
}

// NewProgress begins a step.
func NewProgress(w io.Writer, what string) *Progress { return newProgress(w, ScreenOf(w), what) }

func newProgress(w io.Writer, s Screen, what string) *Progress {
	p := &Progress{w: w, screen: s, what: what, begun: time.Now()}
	if s.Live() {
		time.AfterFunc(patience, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.draw()
		})
	}
	return p
}

// Set records how many parts are done, of how many.
func (p *Progress) Set(n, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.of = n, of
	p.draw()
}

// draw draws the bar where it has changed; p.mu is held.
func (p *Progress) draw() {
	if !p.screen.Live() || p.ended || p.of == 0 || time.Since(p.begun) < patience {
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
