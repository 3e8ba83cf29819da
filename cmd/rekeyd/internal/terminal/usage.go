package terminal

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// UsageError is a wrong command line.
type UsageError struct{ err error }

func (u UsageError) Error() string { return u.err.Error() }
func (u UsageError) Unwrap() error { return u.err }

// NewUsageError returns err as a wrong command line of a command, with the command that shows its help as the hint.
func NewUsageError(command string, err error) error {
	return UsageError{&home.Error{Op: command, Err: err, Hint: "see: " + command + " --help"}}
}

// Usage returns err as a wrong command line of c.
func Usage(c *cobra.Command, err error) error { return NewUsageError(c.CommandPath(), err) }

// Args returns a check of arguments whose errors are usage errors.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, as []string) error {
		if err := check(c, as); err != nil {
			return Usage(c, err)
		}
		return nil
	}
}

// usageWidth is the width of the help, in columns.
const usageWidth = 80

// PrintUsage writes how a command is called: its form, its commands in their groups, and its options.
func PrintUsage(w io.Writer, c *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if c.Runnable() {
		b.WriteString("  " + c.UseLine() + "\n")
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("  " + c.CommandPath() + " [command]\n")
	}
	if len(c.Aliases) > 0 {
		b.WriteString("\nAliases:\n  " + c.NameAndAliases() + "\n")
	}
	if c.HasExample() {
		b.WriteString("\nExamples:\n" + c.Example + "\n")
	}
	groups := c.Groups()
	if len(groups) == 0 && c.HasAvailableSubCommands() {
		groups = []*cobra.Group{{Title: "Commands:"}} // commands without a group have an empty ID
	}
	for _, g := range groups {
		b.WriteString("\n" + g.Title + "\n")
		for _, sub := range c.Commands() {
			if sub.GroupID == g.ID && (sub.IsAvailableCommand() || sub.Name() == "help") {
				b.WriteString("  " + pad(sub.Name(), sub.NamePadding()) + " " + sub.Short + "\n")
			}
		}
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString("\nOptions:\n" + c.LocalFlags().FlagUsagesWrapped(usageWidth))
	}
	if c.HasAvailableInheritedFlags() {
		b.WriteString("\nOptions of every command:\n" + c.InheritedFlags().FlagUsagesWrapped(usageWidth))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nHelp for a command: %s [command] --help\n", c.CommandPath())
	}
	_, err := io.WriteString(w, b.String())
	return err
}
