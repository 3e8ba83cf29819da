package boltstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

// DatabaseName and KeyName are the files of a store, in its directory.
const (
	DatabaseName = "account.db"
	KeyName      = "account.key"
)

// Exists reports whether a directory has a store.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, DatabaseName))
	return err == nil
}

// Snapshot writes a copy of the store to w while it is in use. The key is not in it.
func (s *Store) Snapshot(w io.Writer) error { return s.file.Snapshot(w) }

// Copy writes a copy of the store in dir to w, and changes nothing there. A store in use is home.ErrLocked.
func Copy(dir string, w io.Writer) error {
	o := boltfile.Options{Migrations: migrations, Readable: 1, Intact: intact}
	f, err := boltfile.OpenReadOnly(filepath.Join(dir, DatabaseName), o)
	if err != nil {
		return err
	}
	return errors.Join(f.Snapshot(w), f.Close())
}

// ExportKey returns the content of a key file that opens the store in dir elsewhere.
func ExportKey(dir string, passphrase home.Secret) ([]byte, error) {
	return seal.Source{File: filepath.Join(dir, KeyName), Passphrase: passphrase}.Export()
}
