package main

import (
	"io"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
)

// TestTheHelpHasEveryCommandInAGroup reads the help of the program, which fits a terminal of 80 columns.
func TestTheHelpHasEveryCommandInAGroup(t *testing.T) {
	var out output
	if code := run(t.Context(), nil, strings.NewReader(""), &out, io.Discard); code != exitOK {
		t.Fatalf("it ended with %d", code)
	}
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSuffix(line, "\n"); terminal.Width(line) > 80 {
			t.Errorf("%q takes %d columns", line, terminal.Width(line))
		}
	}
	for _, c := range newRoot().Commands() {
		if !c.Hidden && (strings.Count(out.String(), "\n  "+c.Name()+" ") != 1 || c.GroupID == "") {
			t.Errorf("%s stands not once in the help, or in no group", c.Name())
		}
	}
}

// TestTypingErrorsGetASuggestion mistypes commands and options. A link in the place of a command is not repeated.
func TestTypingErrorsGetASuggestion(t *testing.T) {
	for words, want := range map[string]string{
		"statsu":               "did you mean: rekeyd status?",
		"unbnd lamp":           "did you mean: rekeyd unbind?",
		"status --jsno":        "did you mean --json?",
		"run --intrface lo":    "did you mean --interface?",
		"frobnicate":           "hint: see: rekeyd --help",
		"http://x/reset#t=ABC": "hint: see: rekeyd --help",
	} {
		var errs output
		code := run(t.Context(), strings.Fields(words), strings.NewReader(""), io.Discard, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "ABC") {
			t.Errorf("%s: it ended with %d: %s", words, code, errs.String())
		}
	}
}
