package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// newLeave returns the command that ends the hub's membership in its account.
func newLeave() *cobra.Command {
	c := &cobra.Command{
		Use: "logout", Aliases: []string{"leave"}, Short: "Sign this hub out: leave the account, and keep its passwords",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Sign this hub out of its account: every binding ends, and the hub gets new keys. The passwords stay in the
vault, sealed. After the next login with the same e-mail address they are tried, so devices that hold one of
them can be bound and moved. Use it, too, when the account service has lost its state. It works while the
daemon runs, and while it is stopped.`,
	}
	yes := c.Flags().Bool("yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		state := stateOf(c)
		h := dialHub(state)
		var s daemon.Status
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s); !errors.Is(err, home.ErrUnavailable) {
			if err == nil {
				err = leaveRunning(c, h, s, *yes)
			}
			return err
		}
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
		return errors.Join(leave(c, store, *yes, func(a home.Account, hub string) (bool, error) {
			return app.RemoveHub(state, phrase, a, hub)
		}), store.Close())
	}
	return c
}

// leave ends the membership. remove removes the hub at the account service, where that is part of the same state.
func leave(
	c *cobra.Command, store *localstore.Store, yes bool, remove func(home.Account, string) (bool, error),
) error {
	a, err := store.Account()
	if err != nil {
		return &home.Error{Op: "leave", Err: err, Hint: "there is nothing to do"}
	}
	if agreed, err := confirmLeave(c, a.Email, yes); err != nil || !agreed {
		return err
	}
	hub, err := hubName(store)
	if err == nil {
		err = store.Leave(a.ID)
	}
	if err != nil {
		return err
	}
	removed := false
	if a.Provider != home.TPLink {
		removed, err = remove(a, hub)
	}
	printLeft(c, a.Email, a.Provider, hub, removed)
	if err != nil {
		return &home.Error{Op: "remove this hub from the account", Err: err, Hint: "remove it on the account's page"}
	}
	return nil
}

// leaveTime is how long a daemon is given to end its parts and begin anew.
const leaveTime = time.Minute

// leaveRunning has the daemon leave the account, and waits until it is back without one.
func leaveRunning(c *cobra.Command, h *hub, s daemon.Status, yes bool) error {
	if s.Account == "" {
		return &home.Error{Op: "leave", Err: home.ErrNoAccount, Hint: "there is nothing to do"}
	}
	if agreed, err := confirmLeave(c, s.Account, yes); err != nil || !agreed {
		return err
	}
	if err := h.call(c.Context(), http.MethodPost, "/v1/leave", struct{}{}, nil); err != nil {
		return err
	}
	for end := time.Now().Add(leaveTime); time.Now().Before(end); {
		var now daemon.Status
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &now); err == nil && now.Account == "" {
			printLeft(c, s.Account, s.Provider, string(s.Hub), false)
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond): // until the next look
		case <-c.Context().Done():
			return context.Cause(c.Context())
		}
	}
	return &home.Error{
		Op: "leave", Err: errors.New("the daemon has not left the account"), Hint: "its log has the reason",
	}
}

func confirmLeave(c *cobra.Command, email string, yes bool) (agreed bool, err error) {
	if yes {
		return true, nil
	}
	return confirm(c, fmt.Sprintf("Leave the account %s, and unbind every device?", terminal.Printable(email)))
}

// printLeft prints the result, and the next step of the owner. removed: the account service does not list the hub any more.
func printLeft(c *cobra.Command, email string, provider home.Provider, hub string, removed bool) {
	fmt.Fprintf(c.OutOrStdout(), "Left the account %s.\n", terminal.Printable(email))
	switch {
	case removed:
		fmt.Fprintln(c.OutOrStdout(), "The account does not list this hub any more.")
	case provider != home.TPLink:
		fmt.Fprintf(c.OutOrStdout(), "If the account still lists the hub %s, remove it on its page.\n", hub)
	}
}
