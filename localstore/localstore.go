// Package localstore keeps the hub's state in one bbolt file.
//
//	hub        keys            the hub's seeds, sealed
//	           boot            how often the hub has started (uint64)
//	           terminal        its name at account services
//	accounts   <account>       accountRecord
//	vault      check           a known text, sealed: a wrong key cannot open it
//	           cred/<account>/<epoch>   credentialRecord, sealed
//	           old/<account>/<n>        credentialRecord of an earlier password that the owner remembers, sealed
//	           session/<account>        sessionRecord of the vendor's cloud, sealed
//	           bind/<device>   the binding secret, 32 bytes, sealed
//	           signins/<device>         signInsRecord, sealed
//	devices    <device>        deviceRecord: a bound device when it was last seen
//	bindings   <device>        bindingRecord
//	intents    <device>        intentRecord
//	leftout    <hardware key>  leftOutRecord: the owner unbound the device
//	budget     <device>        the times of its sign-ins in the last day
//	outbox     queue <n>       errandRecord, oldest first
//	           index <kind>/<device> → n
//	history    <n>             eventRecord
//
// Numbers are big-endian, so that the order of keys is the order of time. Every exported method is one transaction that
// includes all consequences of its change; concurrent calls share a commit. Times are UTC.
package localstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

// Options are checked by Open and OpenReadOnly.
type Options struct {
	Dir        string      // created with mode 0700 where it is missing
	Passphrase home.Secret // seals the vault instead of the key in the key file, where given
	Log        *slog.Logger
}

// Store is the hub's store. It is safe for use by several goroutines.
type Store struct {
	file *boltfile.File
	key  seal.Key
	log  *slog.Logger

	decoded atomic.Pointer[decodedAccount]
}

// The names of the files in the directory.
const (
	dbName  = "rekeyd.db"
	keyName = "vault.key"
)

// Exists reports whether there is a store in dir.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, dbName))
	return err == nil
}

// Open opens the store in o.Dir, and creates it where there is none. Errors are home.ErrLocked, home.ErrCorrupt,
// home.ErrNewer and home.ErrNewKey, each with a hint; the directory is unchanged then.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.Log == nil {
		return nil, errors.New("localstore: directory and log are needed")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, &home.Error{Op: "make the state directory", Err: err, Hint: "choose another directory with --state"}
	}
	if st, err := os.Stat(o.Dir); err == nil && st.Mode().Perm()&0o077 != 0 {
		o.Log.Warn("state directory is open to other users", "dir", o.Dir, "mode", st.Mode().Perm().String())
	}
	keyFile := filepath.Join(o.Dir, keyName)
	if st, err := os.Stat(keyFile); err == nil && st.Mode().Perm()&0o077 != 0 {
		o.Log.Warn("vault key is open to other users", "file", keyFile, "mode", st.Mode().Perm().String())
	}
	path := filepath.Join(o.Dir, dbName)
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	file, err := boltfile.Open(path, boltfile.Options{Migrations: migrations})
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, log: o.Log}
	// A crash between the two files leaves a store with no sealed record: it counts as a new one.
	if !fresh {
		check, err := s.copyOf(bVault, "check")
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		fresh = check == nil
	}
	return s, s.unseal(o, fresh)
}

// OpenReadOnly opens the store in o.Dir to look at it. It needs permission to read the database and the key, and
// changes nothing: every method that writes fails. A running daemon keeps others out with home.ErrLocked.
func OpenReadOnly(o Options) (*Store, error) {
	path := filepath.Join(o.Dir, dbName)
	file, err := boltfile.OpenReadOnly(path, boltfile.Options{Migrations: migrations, Readable: oldestReadable})
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, log: o.Log}
	return s, s.unseal(o, false)
}

// unseal loads the key and checks it, before anything else is done with it. It gives a new store the hub's keys.
// After an error the store is closed.
func (s *Store) unseal(o Options, fresh bool) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.file.Close())
		}
	}()
	const context, text = "vault/check", "rekeyd"
	if s.key, err = (seal.Source{File: filepath.Join(o.Dir, keyName), Passphrase: o.Passphrase}).Load(fresh); err != nil {
		return err
	}
	if !fresh {
		box, err := s.copyOf(bVault, "check")
		if err != nil {
			return err
		}
		if _, err := s.key.Open(box, context); err != nil {
			return &home.Error{
				Op:   "open the vault",
				Err:  err,
				Hint: "use the key file or the passphrase with which the state was made",
			}
		}
		return nil
	}
	seeds, err := json.Marshal([2][]byte{random32(), random32()})
	if err != nil {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(bVault).Put([]byte("check"), s.key.Seal([]byte(text), context)),
			tx.Bucket(bHub).Put([]byte("keys"), s.key.Seal(seeds, "hub/keys")),
		)
	})
}

// copyOf returns a value as it stands in the file, nil where there is none.
func (s *Store) copyOf(bucket []byte, key string) ([]byte, error) {
	return boltfile.View(
		s.file,
		func(tx *bbolt.Tx) ([]byte, error) { return bytes.Clone(tx.Bucket(bucket).Get([]byte(key))), nil },
	)
}

// Snapshot writes a copy of the store to w while it is in use. The key file is not in it.
func (s *Store) Snapshot(w io.Writer) error { return s.file.Snapshot(w) }

// Close closes the store.
func (s *Store) Close() error { return s.file.Close() }

func utc(t time.Time) time.Time { return t.UTC().Round(0) }

func now() time.Time { return utc(time.Now()) }

// notBound is the error of a device without a binding.
func notBound(id home.DeviceID) error { return fmt.Errorf("binding of %s: %w", id, home.ErrNotFound) }
