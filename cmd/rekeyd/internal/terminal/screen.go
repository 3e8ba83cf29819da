package terminal

import (
	"cmp"
	"io"
	"os"

	"golang.org/x/term"
)

// Screen describes where text goes. The zero value is a file or a pipe: lines have any length, and there is no colour.
type Screen struct {
	Width, Height int // in columns and lines; zero for any
	Colour        bool
}

// usual is the size of a terminal that does not report its size, such as a serial console.
var usual = Screen{Width: 80, Height: 24}

// ScreenOf returns the screen that w is. Colour needs a terminal that is not dumb, and no NO_COLOR (no-color.org).
func ScreenOf(w io.Writer) Screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Screen{}
	}
	width, height, _ := term.GetSize(int(f.Fd()))
	return Screen{
		Width: cmp.Or(width, usual.Width), Height: cmp.Or(height, usual.Height),
		Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// Live reports whether text can be drawn over.
func (s Screen) Live() bool { return s.Width > 0 }

// Style is a rendition of text (ECMA-48, SGR).
type Style string

// The styles. Colours are those of the terminal's palette, which its owner has chosen.
const (
	Bold   Style = "1"
	Green  Style = "32"
	Yellow Style = "33"
	Blue   Style = "34"
	Faint  Style = "2"
)

// Paint returns text in a style, where the screen has colours.
func (s Screen) Paint(text string, style Style) string {
	if !s.Colour || text == "" || style == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
