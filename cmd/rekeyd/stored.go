package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// openExisting opens the store of a stopped daemon for reading. It makes none, and changes nothing in one that is
// there.
func openExisting(state string, passphrase home.Secret) (*localstore.Store, error) {
	if !localstore.Exists(state) {
		return nil, &home.Error{
			Op: "ask the daemon", Err: errNotRunning(state),
			Hint: "start it with: rekeyd run; or name its state with --state",
		}
	}
	store, err := localstore.OpenReadOnly(
		localstore.Options{Dir: state, Passphrase: passphrase, Log: slog.New(slog.DiscardHandler)},
	)
	if errors.Is(err, home.ErrLocked) {
		return nil, &home.Error{
			Op:   "ask the daemon",
			Err:  fmt.Errorf("it has the state in %s open, and does not answer yet: %w", state, home.ErrUnavailable),
			Hint: "it may be starting: run this again in a moment",
		}
	}
	return store, err
}

// storedStatus returns the last known status of the house, from the store.
func storedStatus(state string, passphrase home.Secret) (daemon.Status, error) {
	store, err := openExisting(state, passphrase)
	if err != nil {
		return daemon.Status{}, err
	}
	defer store.Close()
	hub, err := hubName(store)
	if err != nil {
		return daemon.Status{}, err
	}
	a, rows, err := daemon.Stored(store)
	if err != nil {
		return daemon.Status{}, err
	}
	return daemon.Status{
		Account: a.Email, Provider: a.Provider, Epoch: a.Epoch, Hub: home.HubID(hub),
		Link: "down", Reason: "the daemon does not run", Devices: rows,
	}, nil
}

// openStored is openExisting with the passphrase that the command line names.
func openStored(c *cobra.Command, state string) (*localstore.Store, error) {
	passphrase, err := passphraseOf(c)
	if err != nil {
		return nil, err
	}
	return openExisting(state, passphrase)
}

// statusStored is storedStatus likewise.
func statusStored(c *cobra.Command, state string) (daemon.Status, error) {
	passphrase, err := passphraseOf(c)
	if err != nil {
		return daemon.Status{}, err
	}
	return storedStatus(state, passphrase)
}
