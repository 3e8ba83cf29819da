// Package terminal prints for people and for programs, and reports a wrong command line.
package terminal

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/rekeyd/rekeyd/daemon"
)

// PrintJSON prints one value for programs.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// PrintRows prints devices for people, and below them the hints of bound ones.
func PrintRows(w io.Writer, rows []daemon.Row) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(cells ...string) {
		for i, c := range cells {
			cells[i] = Printable(c)
		}
		_, _ = io.WriteString(t, strings.Join(cells, "\t")+"\n") // Flush returns the error
	}
	line("DEVICE", "NAME", "KIND", "STATE", "WHOSE", "ADDRESS")
	var hints []string
	for _, r := range rows {
		state := string(r.Verdict)
		if r.Epoch != 0 {
			state += " (" + strconv.FormatUint(uint64(r.Epoch), 10) + ")"
		}
		if r.Left {
			state += ", gone"
		}
		line(string(r.ID), r.Name, string(r.Kind), state, string(r.Match), r.Addr)
		if r.Bound && r.Hint != "" {
			hints = append(hints, Printable(string(r.ID)+": "+r.Hint))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, h := range hints {
		if _, err := io.WriteString(w, h+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Printable replaces control characters: the name of a device must not control the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}
