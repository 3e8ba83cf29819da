package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// manyPasswords is how many lines are read; the vault takes fewer.
const manyPasswords = 100

// newImport returns the command that adds earlier passwords to the vault. They have no epoch: their order is unknown.
func newImport() *cobra.Command {
	c := &cobra.Command{
		Use: "import", Short: "Add earlier passwords of your account that you remember", Args: terminal.Args(cobra.NoArgs),
		Long: `Add earlier passwords of your account that you remember, so that devices are found that were
left behind by older resets. They are asked for on the terminal, one after the other, or read from standard
input, one a line, in UTF-8 or UTF-16. They are kept sealed, and used for nothing but to open devices that hold them.`,
	}
	c.Flags().Bool("password-stdin", false, "read the passwords from standard input, one a line")
	email := c.Flags().String(
		"email", "", "how the account's e-mail address was spelled with them, where that was another way than now",
	)
	c.RunE = func(c *cobra.Command, _ []string) error {
		h := dialHub(stateOf(c))
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, nil); err != nil {
			return err
		}
		passwords, err := readPasswords(c)
		if err != nil {
			return err
		}
		in := struct {
			Email     string   `json:"email"`
			Passwords []string `json:"passwords"`
		}{*email, passwords}
		var out struct{ Added int }
		if err := h.call(c.Context(), http.MethodPost, "/v1/remember", in, &out); err != nil {
			return err
		}
		fmt.Fprintf(
			c.OutOrStdout(),
			"%d of %d passwords are new; devices are asked for them now, see: rekeyd probe\n",
			out.Added,
			len(passwords),
		)
		return nil
	}
	return c
}

// readPasswords asks for passwords on the terminal until nothing is typed, or takes every line of standard input.
func readPasswords(c *cobra.Command) ([]string, error) {
	var all []string
	if stdin, _ := c.Flags().GetBool("password-stdin"); stdin {
		l := newLines(io.LimitReader(input(c), manyPasswords*maxPassword))
		var bad []error
		for len(all)+len(bad) < manyPasswords {
			p, err := l.password()
			if errors.Is(err, io.EOF) {
				break
			}
			if line, ok := errors.AsType[lineError](err); ok {
				bad = append(bad, line)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read the passwords: %w", err)
			}
			all = append(all, p.Reveal())
		}
		if err := errors.Join(bad...); err != nil {
			return nil, terminal.Usage(c, err)
		}
	} else {
		f, ok := c.InOrStdin().(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			err := errors.New("standard input is no terminal: give the passwords with --password-stdin, one a line")
			return nil, terminal.Usage(c, err)
		}
		for len(all) < manyPasswords {
			p, err := askPassword(c, f, "Earlier password (Enter alone ends)")
			if errors.Is(err, errNothing) {
				break
			}
			if err == nil {
				err = home.CheckPassword(p)
			}
			if err != nil {
				return nil, err
			}
			all = append(all, p.Reveal())
		}
	}
	if len(all) == 0 {
		return nil, terminal.Usage(c, errors.New("no password was given"))
	}
	return all, nil
}
