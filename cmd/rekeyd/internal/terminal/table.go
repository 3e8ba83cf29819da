// Package terminal prints for people and for programs, and reports a wrong command line.
package terminal

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// PrintJSON prints one value for programs.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Table is text in columns that fit a screen. The last column is for notes, and may be empty. Text of strangers is
// cleaned: it cannot control the terminal.
type Table struct {
	Headers []string
	Lines   []Line
}

// Line is a line of a table: a heading over further lines, or cells.
type Line struct {
	Heading string // instead of cells
	Mark    string // before the first cell, on a screen
	Style   Style  // of the mark
	Cells   []string
}

const (
	gap       = "  "
	least     = 8  // columns that a cell keeps, however small the screen
	noteWidth = 60 // columns that notes of several lines need beside the others; with less they stand below
	noteLines = 3  // lines that a note has at most beside the others
)

// Print writes the table. Cells are broken between words where the screen is too narrow for them. Without a screen each
// line of the table is one line of text.
func (t Table) Print(w io.Writer, s Screen) error {
	lines := make([]Line, len(t.Lines))
	for i, l := range t.Lines {
		lines[i] = l
		lines[i].Cells = make([]string, len(l.Cells))
		for j, c := range l.Cells {
			lines[i].Cells[j] = plain(c)
		}
	}
	p := newLayout(s, t.Headers, lines)
	p.row(p.header(t.Headers))
	for _, l := range lines {
		if l.Heading != "" {
			p.heading(l.Heading)
			continue
		}
		p.row(l)
	}
	_, err := io.WriteString(w, p.out.String())
	return err
}

// layout is where the columns of a table are on a screen.
type layout struct {
	screen Screen
	widths []int // of the columns before the notes
	indent int   // for marks
	notes  int   // width of the notes; zero for any
	none   bool  // no line has a note
	below  bool  // notes stand below their lines
	out    strings.Builder
}

func newLayout(s Screen, headers []string, lines []Line) *layout {
	last := len(headers) - 1
	p := &layout{screen: s, widths: make([]int, last), none: true}
	longest := 0
	for _, l := range slices.Concat([]Line{{Cells: headers}}, lines) {
		if len(l.Cells) == 0 {
			continue
		}
		for i, c := range l.Cells[:last] {
			p.widths[i] = max(p.widths[i], Width(c))
		}
		if l.Mark != "" && s.Live() {
			p.indent = 2
		}
	}
	for _, l := range lines {
		if len(l.Cells) > 0 && l.Cells[last] != "" {
			longest, p.none = max(longest, Width(l.Cells[last])), false
		}
	}
	if !s.Live() {
		return p
	}
	p.notes = s.Width - p.indent
	for _, width := range p.widths {
		p.notes -= width + len(gap)
	}
	if p.none || longest > p.notes && (p.notes < noteWidth || longest > noteLines*p.notes) {
		p.below = true
		p.shrink(-p.notes - len(gap))
		p.notes = max(s.Width-p.indent-len(gap), least)
	}
	return p
}

// shrink takes columns from the widest cells.
func (p *layout) shrink(over int) {
	for ; over > 0; over-- {
		widest := 0
		for i, width := range p.widths {
			if width > p.widths[widest] {
				widest = i
			}
		}
		if p.widths[widest] <= least {
			return
		}
		p.widths[widest]--
	}
}

// header returns the names of the columns that are there.
func (p *layout) header(names []string) Line {
	l := Line{Cells: slices.Clone(names)}
	if p.none || p.below {
		l.Cells[len(names)-1] = ""
	}
	return l
}

func (p *layout) heading(text string) {
	if p.screen.Live() {
		p.out.WriteString("\n")
	}
	for _, line := range Wrap(text, p.screen.Width) {
		p.out.WriteString(p.screen.Paint(line, Bold) + "\n")
	}
}

// row writes cells side by side, each broken into lines of its column.
func (p *layout) row(l Line) {
	last := len(l.Cells) - 1
	columns, widths := make([][]string, 0, last+1), slices.Clone(p.widths)
	for i, width := range widths {
		if !p.screen.Live() {
			columns = append(columns, []string{l.Cells[i]})
			continue
		}
		columns = append(columns, Wrap(l.Cells[i], width))
	}
	if !p.below {
		columns, widths = append(columns, Wrap(l.Cells[last], p.notes)), append(widths, 0)
	}
	for n := 0; ; n++ {
		line, more := "", false
		for i, cell := range columns {
			text := ""
			if n < len(cell) {
				text, more = cell[n], true
			}
			line += pad(text, widths[i]) + gap
		}
		if !more {
			break
		}
		mark := strings.Repeat(" ", p.indent)
		if n == 0 && l.Mark != "" && p.indent > 0 {
			mark = p.screen.Paint(l.Mark, l.Style) + " "
		}
		p.out.WriteString(strings.TrimRight(mark+line, " ") + "\n")
	}
	if p.below && l.Cells[last] != "" {
		for _, text := range Wrap(l.Cells[last], p.notes) {
			p.out.WriteString(strings.Repeat(" ", p.indent+len(gap)) + text + "\n")
		}
	}
}

// Printable replaces control characters: the name of a device must not control the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s)
}
