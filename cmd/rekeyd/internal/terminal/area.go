package terminal

import (
	"fmt"
	"io"
	"strings"
)

// Area is the last lines on a terminal, which are drawn again and again. It is lower than the terminal: lines that have
// scrolled away cannot be drawn over.
type Area struct {
	W     io.Writer
	lines int // drawn
}

// Draw replaces the area by text and a last line. Of text that is too long for the screen, the beginning is shown with
// the number of lines that are left out. A line is at most as wide as the screen, as the lines of a Table are.
func (a *Area) Draw(s Screen, text, last string) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if room := max(s.Height-3, 1); len(lines) > room { // the last line, the number, and the line of the cursor
		lines = append(lines[:room], fmt.Sprintf("… and %d more lines", len(lines)-room))
	}
	lines = append(lines, last)
	var b strings.Builder
	a.back(&b)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	_, _ = io.WriteString(a.W, b.String()) // a terminal that is gone ends the program by a signal
	a.lines = len(lines)
}

// Erase takes the area back.
func (a *Area) Erase() {
	var b strings.Builder
	a.back(&b)
	_, _ = io.WriteString(a.W, b.String())
	a.lines = 0
}

// back moves the cursor to the beginning of the area, and erases from there on.
func (a *Area) back(b *strings.Builder) {
	if a.lines > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", a.lines)
	}
}
