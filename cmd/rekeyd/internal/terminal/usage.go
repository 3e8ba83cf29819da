package terminal

import (
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
