package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
)

// newOpen returns the command that prints a link to the pages of the house. It opens no browser: a hub has none.
func newOpen() *cobra.Command {
	c := &cobra.Command{
		Use: "open", Short: "Print a link that signs your browser in to the pages of this house",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Print a link that signs one browser in to the pages of this house, once, within ten minutes. From another
machine open the page there, and type the code behind #t= on its page "Sign in".`,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		var out struct{ URL string }
		if err := dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/open", struct{}{}, &out); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), out.URL)
		return nil
	}
	return c
}
