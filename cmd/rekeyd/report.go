package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Exit codes. README.md lists them for scripts.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // the command line or a setting is wrong
	exitCredential  = 3 // not signed in, or a wrong e-mail address or password
	exitNotFound    = 4
	exitUnavailable = 5 // the daemon, the account service or a device does not answer
	exitStore       = 6 // the state directory cannot be used
)

// misspelledCommand finds the name in cobra's error only where it looks like one: a link pasted in its place is a
// secret.
var misspelledCommand = regexp.MustCompile(`^unknown command( "[a-z][a-z-]{0,15}" for "rekeyd[a-z ]*")?`)

// suggestedCommand finds the name that cobra suggests in its place.
var suggestedCommand = regexp.MustCompile(`Did you mean this\?\n\t([a-z-]+)\n`)

// unknownCommand returns cobra's error with the nearest command in the hint.
func unknownCommand(text string) error {
	known := misspelledCommand.FindString(text)
	err := terminal.NewUsageError("rekeyd", errors.New(known))
	if near := suggestedCommand.FindStringSubmatch(text); near != nil && known != "unknown command" {
		if e, ok := errors.AsType[*home.Error](err); ok {
			e.Hint = "did you mean: rekeyd " + near[1] + "? Else see: rekeyd --help"
		}
	}
	return err
}

// flagError returns the error of an option, with the nearest one where it is unknown.
func flagError(c *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := home.Similar(name, known); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}

// report prints an error and what the person can do, and picks the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, context.Canceled) { // whatever the command was waiting for
		fmt.Fprintln(w, "rekeyd: interrupted")
		return exitFailed
	}
	if strings.HasPrefix(err.Error(), "unknown command") {
		err = unknownCommand(err.Error())
	}
	text := strings.TrimPrefix(err.Error(), "rekeyd: ")
	if _, ok := errors.AsType[terminal.UsageError](err); ok {
		text = strings.TrimPrefix(strings.TrimPrefix(text, "rekeyd "), "rekeyd: ")
	}
	fmt.Fprintf(w, "rekeyd: %s\n", text)
	if hint := home.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
	if _, ok := errors.AsType[terminal.UsageError](err); ok {
		return exitUsage
	}
	switch {
	case errors.Is(err, home.ErrLocked),
		errors.Is(err, home.ErrCorrupt),
		errors.Is(err, home.ErrNewer),
		errors.Is(err, home.ErrNewKey):
		return exitStore
	case errors.Is(err, home.ErrCredential), errors.Is(err, home.ErrNoAccount), errors.Is(err, home.ErrCode):
		return exitCredential
	case errors.Is(err, home.ErrNotFound):
		return exitNotFound
	case errors.Is(err, home.ErrUnavailable),
		errors.Is(err, home.ErrUnreachable),
		errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitFailed
}
