// Package localstore keeps what must not be lost in one bbolt file.
//
//	hub        keys            the hub's seeds, sealed
//	           boot            how often the hub has started (uint64)
//	           terminal        its name at account services
//	accounts   <account>       home.Account
//	vault      check           a known text, sealed: tells a wrong key
//	           cred/<account>/<epoch>   username, password, epoch secret; sealed
//	           old/<account>/<n>        username, password: earlier ones that the owner remembers; sealed
//	           session/<account>   the token of the vendor's cloud; sealed
//	           bind/<device>   the binding secret, 32 bytes; sealed
//	devices    <device>        home.Device, as it was last written
//	bindings   <device>        home.Binding
//	intents    <device>        home.Intent
//	budget     <device>        when sign-ins were spent on it in the last day
//	outbox     queue <n>       home.Errand, oldest first
//	           index <kind>/<device> → n
//	inbox      queue <n>       names of messages that were acted on, oldest first
//	           index <message> → n
//	history    <n>             home.Event
//
// Numbers are big-endian, so that their order is the order of time. Every exported method is one transaction, with all that
// follows from the change it makes; methods called at the same time share a commit. Times are UTC.
package localstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
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

// Options are what Open checks.
type Options struct {
	Dir        string      // made with mode 0700 where it is missing
	Passphrase home.Secret // seals the vault instead of the key in the key file, where given
	Log        *slog.Logger
}

// Store is the hub's store. It is safe for use by several goroutines.
type Store struct {
	file *boltfile.File
	key  seal.Key
	log  *slog.Logger

	known atomic.Pointer[known]
}

// The names of what is in the directory.
const (
	dbName  = "rekeyd.db"
	keyName = "vault.key"
)

var (
	bHub      = []byte("hub")
	bAccounts = []byte("accounts")
	bVault    = []byte("vault")
	bDevices  = []byte("devices")
	bBindings = []byte("bindings")
	bIntents  = []byte("intents")
	bOutbox   = []byte("outbox")
	bInbox    = []byte("inbox")
	bHistory  = []byte("history")
	bBudget   = []byte("budget")
	bQueue    = []byte("queue")
	bIndex    = []byte("index")
)

// migrations only grows: a file of format n has seen the first n. TestMigrations has a case for each.
var migrations = []func(*bbolt.Tx) error{
	func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bHub, bAccounts, bVault, bDevices, bBindings, bIntents, bHistory} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		for _, name := range [][]byte{bOutbox, bInbox} {
			b, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			for _, sub := range [][]byte{bQueue, bIndex} {
				if _, err := b.CreateBucketIfNotExists(sub); err != nil {
					return err
				}
			}
		}
		return nil
	},
	func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bBudget)
		return err
	},
}

// Exists tells whether there is a store in dir.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, dbName))
	return err == nil
}

// Open opens the store in o.Dir, and makes it where there is none. Errors are home.ErrLocked, home.ErrCorrupt, home.ErrNewer
// and home.ErrNewKey, each with a hint; what is there is then as it was.
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
	// A crash between the two files leaves a store without anything sealed: that is as good as none.
	if !fresh {
		err := s.view(func(tx *bbolt.Tx) error {
			fresh = tx.Bucket(bVault).Get([]byte("check")) == nil
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	s.key, err = seal.Source{File: keyFile, Passphrase: o.Passphrase}.Load(fresh)
	if err == nil {
		err = s.checkKey(fresh)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// oldestReadable is the oldest format whose records OpenReadOnly understands.
const oldestReadable = 1

// OpenReadOnly opens the store in o.Dir to look at it. It needs permission to read the database and the key, and changes
// nothing: every method that writes fails. A running daemon keeps others out with home.ErrLocked.
func OpenReadOnly(o Options) (*Store, error) {
	path := filepath.Join(o.Dir, dbName)
	file, err := boltfile.OpenReadOnly(path, boltfile.Options{Migrations: migrations, Readable: oldestReadable})
	if err != nil {
		return nil, err
	}
	s := &Store{file: file, log: o.Log}
	s.key, err = seal.Source{File: filepath.Join(o.Dir, keyName), Passphrase: o.Passphrase}.Load(false)
	if err == nil {
		err = s.checkKey(false)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// checkKey tells a wrong key before anything is done with it, and gives a new store the hub's keys.
func (s *Store) checkKey(fresh bool) error {
	const context, text = "vault/check", "rekeyd"
	if !fresh {
		var box []byte
		if err := s.view(func(tx *bbolt.Tx) error { box = clone(tx.Bucket(bVault).Get([]byte("check"))); return nil }); err != nil {
			return err
		}
		if _, err := s.key.Open(box, context); err != nil {
			return &home.Error{Op: "open the vault", Err: err, Hint: "use the key file or the passphrase with which the state was made"}
		}
		return nil
	}
	seeds, err := json.Marshal([2][]byte{random32(), random32()})
	if err != nil {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bVault).Put([]byte("check"), s.key.Seal([]byte(text), context)); err != nil {
			return err
		}
		return tx.Bucket(bHub).Put([]byte("keys"), s.key.Seal(seeds, "hub/keys"))
	})
}

// HubKeys returns the hub's seeds, which were made with the store.
func (s *Store) HubKeys() (home.HubKeys, error) {
	var box []byte
	if err := s.view(func(tx *bbolt.Tx) error { box = clone(tx.Bucket(bHub).Get([]byte("keys"))); return nil }); err != nil {
		return home.HubKeys{}, err
	}
	plain, err := s.key.Open(box, "hub/keys")
	if err != nil {
		return home.HubKeys{}, err
	}
	var seeds [2][]byte
	if err := json.Unmarshal(plain, &seeds); err != nil {
		return home.HubKeys{}, fmt.Errorf("hub keys: %w", home.ErrCorrupt)
	}
	return home.HubKeys{Sign: home.SecretBytes(seeds[0]), Seal: home.SecretBytes(seeds[1])}, nil
}

// NextBoot counts this start of the hub.
func (s *Store) NextBoot() (n uint64, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bHub)
		n = number(b.Get([]byte("boot"))) + 1
		return b.Put([]byte("boot"), bigEndian(n))
	})
	return n, err
}

// Snapshot writes a copy of the store to w while it is in use. The key file is not in it.
func (s *Store) Snapshot(w io.Writer) error { return s.file.Snapshot(w) }

// Close closes the store.
func (s *Store) Close() error { return s.file.Close() }

func (s *Store) update(do func(*bbolt.Tx) error) error { return s.file.Update(do) }
func (s *Store) view(do func(*bbolt.Tx) error) error   { return s.file.View(do) }

// put keeps v as JSON. Where it stands there already nothing is written, and so no commit either (flash wear).
func put(b *bbolt.Bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil || bytes.Equal(b.Get(key), raw) {
		return err
	}
	return b.Put(key, raw)
}

// get reads what put kept. ok is false where there is nothing.
func get[T any](b *bbolt.Bucket, key []byte) (v T, ok bool, err error) {
	raw := b.Get(key)
	if raw == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("record %q: %w: %w", key, home.ErrCorrupt, err)
	}
	return v, true, nil
}

// all reads every record of a bucket.
func all[T any](b *bbolt.Bucket) ([]T, error) {
	var vs []T
	err := b.ForEach(func(k, raw []byte) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("record %q: %w: %w", k, home.ErrCorrupt, err)
		}
		vs = append(vs, v)
		return nil
	})
	return vs, err
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...) // what bbolt returns is valid only inside its transaction
}

func bigEndian(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func utc(t time.Time) time.Time { return t.UTC().Round(0) }

func now() time.Time { return utc(time.Now()) }

// Terminal returns the random name under which this hub signs in to account services, always the same: their limits are
// kept by it.
func (s *Store) Terminal() (name string, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bHub)
		if have := b.Get([]byte("terminal")); have != nil {
			name = string(have)
			return nil
		}
		name = rand.Text()
		return b.Put([]byte("terminal"), []byte(name))
	})
	return name, err
}
