package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
	"github.com/rekeyd/rekeyd/localstore/backup"
)

// newRestore returns the command that makes a state directory of a backup.
func newRestore() *cobra.Command {
	c := &cobra.Command{
		Use: "restore FILE", Short: "Make a new hub of a backup", Args: terminal.Args(cobra.ExactArgs(1)),
		Long: `Make the state of a new hub of a file that rekeyd backup wrote. Passwords, bindings and epochs are kept. The
new hub has keys of its own, so that it cannot be mistaken for the old one: sign it in with rekeyd login,
which also removes the old hub from the account. The account service that is in the backup is restored as it was.
A state that holds an account, or an account service, is not overwritten.`,
	}
	addBackupFlags(c)
	c.RunE = func(c *cobra.Command, as []string) error {
		raw, err := os.ReadFile(as[0])
		if err != nil {
			return &home.Error{Op: "read the backup", Err: err, Hint: "see that the file exists, and this user may read it"}
		}
		state := stateOf(c)
		if err := mayRestore(c, state); err != nil {
			return err
		}
		phrase, err := backupPassphrase(c, false)
		if err != nil {
			return err
		}
		content, err := backup.Open(raw, phrase)
		if err != nil {
			return &home.Error{
				Op: "open the backup", Err: err, Hint: "give the passphrase with which it was made, or take an older backup",
			}
		}
		if len(content.Account) > 0 && boltstore.Exists(filepath.Join(state, app.AccountFolder)) {
			return &home.Error{
				Op: "restore", Err: fmt.Errorf("the state in %s has an account service", state),
				Hint: "choose another directory with --state, or move that one away",
			}
		}
		statePhrase, err := passphraseOf(c)
		if err != nil {
			return err
		}
		a, err := restore(state, content, statePhrase)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "The state in %s is that of the backup.\n", state)
		switch {
		case a.ID == "":
		case a.Provider == home.TPLink:
			fmt.Fprintln(c.OutOrStdout(), "Now start it with: rekeyd run; and sign in with: "+
				"rekeyd login EMAIL --provider tplink")
		default:
			fmt.Fprintln(c.OutOrStdout(), "Now start it with: rekeyd run; and sign in with: rekeyd login EMAIL")
		}
		return nil
	}
	return c
}

// mayRestore refuses a state directory whose store is in use, or has an account.
func mayRestore(c *cobra.Command, state string) error {
	if !localstore.Exists(state) {
		return nil
	}
	store, err := openStored(c, state)
	if errors.Is(err, home.ErrNotFound) {
		return nil // nothing was written yet
	}
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = store.Account()
	if errors.Is(err, home.ErrNoAccount) {
		return nil
	}
	return &home.Error{
		Op: "restore", Err: errors.Join(fmt.Errorf("the state in %s belongs to an account", state), err),
		Hint: "choose another directory with --state, or move that one away",
	}
}

// restore makes the new state beside the old one, and puts its files into place: keys first, and the hub's store last.
func restore(state string, content backup.Content, phrase home.Secret) (a home.Account, err error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return a, &home.Error{Op: "make the state directory", Err: err, Hint: "choose another directory with --state"}
	}
	next, err := os.MkdirTemp(state, "restore-")
	if err != nil {
		return a, err
	}
	defer os.RemoveAll(next)
	type file struct {
		name string
		raw  []byte
	}
	files := []file{{"vault.key", content.Key}, {"rekeyd.db", content.Database}}
	if len(content.Account) > 0 {
		files = slices.Insert(files, 0,
			file{filepath.Join(app.AccountFolder, boltstore.KeyName), content.AccountKey},
			file{filepath.Join(app.AccountFolder, boltstore.DatabaseName), content.Account})
		for _, dir := range []string{next, state} {
			if err := os.MkdirAll(filepath.Join(dir, app.AccountFolder), 0o700); err != nil {
				return a, err
			}
		}
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(next, f.name), f.raw, 0o600); err != nil {
			return a, err
		}
	}
	store, err := localstore.Open(localstore.Options{Dir: next, Passphrase: phrase, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return a, err
	}
	a, err = renew(store)
	if err = errors.Join(err, store.Close()); err != nil {
		return a, err
	}
	if len(content.Account) > 0 { // its key opens it
		service, err := boltstore.Open(filepath.Join(next, app.AccountFolder), phrase)
		if err == nil {
			err = service.Close()
		}
		if err != nil {
			return a, err
		}
	}
	for _, f := range files {
		if err := os.Rename(filepath.Join(next, f.name), filepath.Join(state, f.name)); err != nil {
			return a, err
		}
	}
	if len(content.Account) > 0 {
		err = syncDir(filepath.Join(state, app.AccountFolder))
	}
	return a, errors.Join(err, syncDir(state))
}

// syncDir has the names in a directory survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// renew makes the hub of the store another one, and records the name of the old one.
func renew(store *localstore.Store) (a home.Account, err error) {
	old, err := hubName(store)
	if err != nil {
		return a, err
	}
	if err := store.Renew(old); err != nil {
		return a, err
	}
	if a, err = store.Account(); errors.Is(err, home.ErrNoAccount) {
		err = nil
	}
	return a, err
}

// hubName returns the name of the hub whose state a store is.
func hubName(store *localstore.Store) (string, error) {
	keys, err := store.HubKeys()
	if err != nil {
		return "", err
	}
	id, err := wire.NewIdentity(wire.RoleHub, []byte(keys.Sign.Reveal()), []byte(keys.Seal.Reveal()))
	if err != nil {
		return "", err
	}
	return id.Name, nil
}
