// Package localstore keeps the hub's state in one bbolt file.
//
//	hub        keys            the hub's seeds, sealed
//	           sealing         its sealing keys, sealed
//	           boot            how often the hub has started
//	           terminal        its name at account services
//	           given           when a password was last given, or a try ordered
//	           replaced        the name of the hub that it replaces after a restore
//	           page            the hash of the password of its own pages, sealed
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
//	aside      <record>/<key>  asideRecord: damaged records as they were found
//
// A record that is not sealed has a checksum (boltfile.Verify). Open sets damaged records aside and goes on without
// them.
//
// Numbers are big-endian, so that the order of keys is the order of time. Every exported method is one transaction that
// includes all consequences of its change; concurrent calls share a commit. Times are UTC.
package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

// The records that a new store gets at once: in the buckets vault and hub.
var checkName, keysName = []byte("check"), []byte("keys")

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
	file, err := boltfile.Open(filepath.Join(o.Dir, dbName), fileOptions)
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, log: o.Log}
	// A crash before the first record leaves a file without any: it is a new store.
	fresh, err := s.blank()
	if err == nil {
		err = s.unseal(o, fresh)
	}
	if err == nil && !fresh {
		err = s.setAside(filepath.Join(o.Dir, dbName))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// OpenReadOnly opens the store in o.Dir to look at it. It needs permission to read the database and the key, and
// changes nothing: every method that writes fails. A running daemon keeps others out with home.ErrLocked. A store in
// which nothing was written yet is home.ErrNotFound.
func OpenReadOnly(o Options) (*Store, error) {
	path := filepath.Join(o.Dir, dbName)
	file, err := boltfile.OpenReadOnly(path, fileOptions)
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, log: o.Log}
	fresh, err := s.blank()
	switch {
	case err == nil && fresh:
		err = &home.Error{Op: "open " + path, Err: home.ErrNotFound, Hint: "start the daemon once, with: rekeyd run"}
	case err == nil:
		err = s.unseal(o, false)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// fileOptions are what the file needs to know of this store.
var fileOptions = boltfile.Options{Migrations: migrations, Readable: oldestReadable, Intact: intact}

func (s *Store) blank() (bool, error) {
	return boltfile.View(s.file, func(tx *bbolt.Tx) (bool, error) { return boltfile.Blank(tx), nil })
}

// unseal loads the key and checks it, before anything else is done with it. It gives a new store the hub's keys.
func (s *Store) unseal(o Options, fresh bool) (err error) {
	if s.key, err = (seal.Source{File: filepath.Join(o.Dir, keyName), Passphrase: o.Passphrase}).Load(fresh); err != nil {
		return err
	}
	if !fresh {
		return s.checkKey(o)
	}
	return s.file.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(bVault).Put(checkName, s.key.Seal([]byte("rekeyd"), "vault/check")), s.renewKeys(tx),
		)
	})
}

// copyOf returns a value as it stands in the file, nil where there is none.
func (s *Store) copyOf(bucket, key []byte) ([]byte, error) {
	return boltfile.View(
		s.file, func(tx *bbolt.Tx) ([]byte, error) { return bytes.Clone(tx.Bucket(bucket).Get(key)), nil },
	)
}

// ExportKey returns the content of a key file that opens the store in o.Dir elsewhere.
func ExportKey(o Options) ([]byte, error) {
	return seal.Source{File: filepath.Join(o.Dir, keyName), Passphrase: o.Passphrase}.Export()
}

// CheckCopy returns home.ErrCorrupt where raw, which Snapshot wrote, is not a sound file.
func CheckCopy(raw []byte) error { return boltfile.CheckCopy(raw) }

// Snapshot writes a copy of the store to w while it is in use. The key file is not in it.
func (s *Store) Snapshot(w io.Writer) error { return s.file.Snapshot(w) }

// Writable returns nil when the last change was written to the disk, or another one can be written now.
func (s *Store) Writable() error { return s.file.Writable() }

// Troubles returns what a person has to do about the store: the failure of the last write, and the damaged records.
func (s *Store) Troubles() []home.Trouble {
	var all []home.Trouble
	if t, ok := s.file.Trouble(); ok {
		all = append(all, t)
	}
	if old, err := s.Replaced(); err == nil && old != "" {
		all = append(all, home.Trouble{
			What: "this state was restored from a backup, and the account still lists the old hub " + old,
			Hint: "sign in again, with: rekeyd login EMAIL",
		})
	}
	damaged, err := s.Damaged()
	if err != nil {
		all = append(all, home.TroubleOf(err))
	}
	for _, d := range damaged {
		if d.Hint() != "" {
			all = append(all, home.Trouble{What: "the record of " + d.String() + " is damaged", Hint: d.Hint()})
		}
	}
	return all
}

// Failed describes why the last change could not be written; ok is false where it was.
func (s *Store) Failed() (trouble home.Trouble, ok bool) { return s.file.Trouble() }

// Close closes the store.
func (s *Store) Close() error { return s.file.Close() }

func utc(t time.Time) time.Time { return t.UTC().Round(0) }

func now() time.Time { return utc(time.Now()) }

// notBound is the error of a device without a binding.
func notBound(id home.DeviceID) error { return fmt.Errorf("binding of %s: %w", id, home.ErrNotFound) }
