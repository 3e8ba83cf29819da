//go:build man

package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
)

// manual returns the command that writes the man pages. It is in the build that makes packages only:
// cmd/rekeyd/packaging.
func manual() []*cobra.Command {
	return []*cobra.Command{{
		Use: "man DIR", Short: "Write the man pages to a directory", Hidden: true, Args: terminal.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			c.Root().DisableAutoGenTag = true
			return doc.GenManTree(c.Root(), nil, args[0]) // dated by SOURCE_DATE_EPOCH
		},
	}}
}
