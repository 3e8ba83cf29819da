package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
	"github.com/rekeyd/rekeyd/localstore/backup"
)

// newBackup returns the command that writes the state to one file, sealed with a passphrase.
func newBackup() *cobra.Command {
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write a sealed copy of the state to a file", Args: terminal.Args(cobra.ExactArgs(1)),
		Long: `Write a copy of this hub's state (passwords, bindings, history) to FILE, sealed with a passphrase that is
asked for on the terminal. The state of the account service that runs in the daemon is in it, too. It works
while the daemon runs, and while it is stopped. The file is read back and checked before it takes the place of
an older one. Where the state itself is sealed with a passphrase, restore
needs both.`,
	}
	addBackupFlags(c)
	c.RunE = func(c *cobra.Command, as []string) error {
		passphrase, err := backupPassphrase(c, true)
		if err != nil {
			return err
		}
		state := stateOf(c)
		content, err := contentOf(c, state)
		if err == nil {
			err = addAccount(c, state, &content) // after the hub: the service must not be behind it
		}
		if err != nil {
			return err
		}
		raw, err := backup.Seal(content, passphrase)
		if err != nil {
			return err
		}
		if err := writeBackup(as[0], raw, passphrase); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "The state in %s is in %s, %d bytes, checked.\n", state, as[0], len(raw))
		return nil
	}
	return c
}

func addBackupFlags(c *cobra.Command) {
	addPasswordFlag(c)
	c.Flags().String("backup-passphrase-file", "", "file with the passphrase of the backup, instead of the question")
}

// backupPassphrase returns the passphrase of a backup: from a file, from standard input, or from the terminal.
func backupPassphrase(c *cobra.Command, twice bool) (home.Secret, error) {
	if path, _ := c.Flags().GetString("backup-passphrase-file"); path != "" {
		return readSecretFile("passphrase", path)
	}
	return readSecret(c, "Passphrase of the backup", twice, func(p home.Secret) error {
		if p.IsZero() {
			return errors.New("it is empty")
		}
		return nil
	})
}

// contentOf returns a copy of the state: from the daemon where it runs, else from the store.
func contentOf(c *cobra.Command, state string) (content backup.Content, err error) {
	var copied bytes.Buffer
	err = dialHub(state).read(c.Context(), "/v1/snapshot", &copied)
	if errors.Is(err, home.ErrUnavailable) {
		copied.Reset()
		var store *localstore.Store
		if store, err = openStored(c, state); err != nil {
			return content, err
		}
		err = errors.Join(store.Snapshot(&copied), store.Close())
	}
	if err != nil {
		return content, err
	}
	passphrase, err := passphraseOf(c)
	if err != nil {
		return content, err
	}
	content.Database = copied.Bytes()
	content.Key, err = localstore.ExportKey(localstore.Options{Dir: state, Passphrase: passphrase})
	return content, err
}

// addAccount adds the account service's state, where the hub's state has one: from the daemon where it runs that
// service, else from the store.
func addAccount(c *cobra.Command, state string, content *backup.Content) error {
	dir := filepath.Join(state, app.AccountFolder)
	if !boltstore.Exists(dir) {
		return nil
	}
	var copied bytes.Buffer
	err := dialHub(state).read(c.Context(), "/v1/account-snapshot", &copied)
	if errors.Is(err, home.ErrUnavailable) || errors.Is(err, home.ErrNotFound) {
		copied.Reset()
		err = boltstore.Copy(dir, &copied)
	}
	if err != nil {
		return err
	}
	passphrase, err := passphraseOf(c)
	if err != nil {
		return err
	}
	content.Account = copied.Bytes()
	content.AccountKey, err = boltstore.ExportKey(dir, passphrase)
	return err
}

// writeBackup writes a backup beside path, checks it, and puts it there.
func writeBackup(path string, raw []byte, passphrase home.Secret) error {
	const op = "write the backup"
	next := path + ".next"
	if err := atomicfile.Write(next, raw, 0o600); err != nil {
		return &home.Error{Op: op, Err: err, Hint: "choose a folder that exists, with room on its disk"}
	}
	err := checkBackup(next, passphrase)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return &home.Error{
			Op: op, Err: errors.Join(err, os.Remove(next)), Hint: "try another disk; the older backup is as it was",
		}
	}
	return syncDir(filepath.Dir(path))
}

// checkBackup reads a backup as restore does, and checks the stores in it.
func checkBackup(path string, passphrase home.Secret) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	content, err := backup.Open(raw, passphrase)
	if err != nil {
		return err
	}
	err = localstore.CheckCopy(content.Database)
	if err == nil && len(content.Account) > 0 {
		err = localstore.CheckCopy(content.Account)
	}
	return err
}

// read copies the daemon's answer to out, as it is.
func (h *hub) read(ctx context.Context, path string, out io.Writer) error {
	return h.do(ctx, http.MethodGet, path, nil, func(body io.Reader) error {
		_, err := io.Copy(out, body)
		return err
	})
}
