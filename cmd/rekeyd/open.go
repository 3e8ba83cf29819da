package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newOpen returns the command that prints a link to the pages of the house. It opens no browser: a hub has none.
func newOpen() *cobra.Command {
	c := &cobra.Command{
		Use: "open", Short: "Print a link that signs your browser in to the house's pages",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Print a link that signs one browser in to the pages of this house, once, within ten minutes. From another
machine open the page there, and type the code behind #t= on its page "Sign in". With --set-password, set the password of
these pages instead; every browser is signed out then.`,
	}
	password := c.Flags().Bool("set-password", false, "set the password of the pages; the present one is not needed here")
	addPasswordFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		h := dialHub(stateOf(c))
		if stdin, _ := c.Flags().GetBool("password-stdin"); *password || stdin {
			p, err := readSecret(c, "Password of this hub's pages", true, func(home.Secret) error { return nil })
			if err != nil {
				return err
			}
			in := map[string]string{"password": p.Reveal()}
			if err := h.call(c.Context(), http.MethodPost, "/v1/page-password", in, nil); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "The password of the pages is set. Every browser was signed out.")
			return nil
		}
		return printPageLink(c, h)
	}
	return c
}

// printPageLink prints a link that signs one browser in.
func printPageLink(c *cobra.Command, h *hub) error {
	var out struct{ URL string }
	if err := h.call(c.Context(), http.MethodPost, "/v1/open", struct{}{}, &out); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), out.URL)
	return nil
}
