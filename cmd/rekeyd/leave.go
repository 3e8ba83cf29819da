package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// newLeave returns the command that ends the hub's membership in its account.
func newLeave() *cobra.Command {
	c := &cobra.Command{
		Use: "leave", Short: "Leave the account, and keep its passwords in the vault", Args: terminal.Args(cobra.NoArgs),
		Long: `Leave the account: every binding ends, and this hub gets new keys. The passwords stay in the vault, sealed.
After the next login with the same e-mail address they are tried, so devices that hold one of them can be bound
and moved. Use it when the account service has lost its state. The daemon must be stopped.`,
	}
	yes := c.Flags().Bool("yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		state := stateOf(c)
		phrase, err := passphraseOf(c)
		if err != nil {
			return err
		}
		if !localstore.Exists(state) {
			return &home.Error{
				Op: "leave", Err: fmt.Errorf("there is no state in %s: %w", state, home.ErrNotFound),
				Hint: "name it with --state",
			}
		}
		store, err := localstore.Open(localstore.Options{Dir: state, Passphrase: phrase, Log: slog.New(slog.DiscardHandler)})
		if errors.Is(err, home.ErrLocked) {
			return &home.Error{Op: "leave", Err: home.ErrLocked, Hint: "stop the daemon first; start it again afterwards"}
		}
		if err != nil {
			return err
		}
		return errors.Join(leave(c, store, *yes), store.Close())
	}
	return c
}

func leave(c *cobra.Command, store *localstore.Store, yes bool) error {
	a, err := store.Account()
	if err != nil {
		return &home.Error{Op: "leave", Err: err, Hint: "there is nothing to do"}
	}
	if !yes {
		question := fmt.Sprintf("Leave the account %s, and unbind every device?", terminal.Printable(a.Email))
		if agreed, err := confirm(c, question); err != nil || !agreed {
			return err
		}
	}
	if err := store.Leave(a.ID); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "Left the account %s.\n", terminal.Printable(a.Email))
	if a.Provider == home.Home {
		fmt.Fprintln(c.OutOrStdout(), "If the account still exists, remove this hub on its page.")
	}
	return nil
}
