package localstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// renamed moves a record to another key, as one flipped bit in its name does.
func renamed(bucket, from, to string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		return errors.Join(b.Put([]byte(to), bytes.Clone(b.Get([]byte(from)))), b.Delete([]byte(from)))
	}
}

func TestOnlyAnEmptyStoreIsNew(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	without := func(bucket, key string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete([]byte(key)) }
	}
	both := func(dos ...func(*bbolt.Tx) error) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) (err error) {
			for _, do := range dos {
				err = errors.Join(err, do(tx))
			}
			return err
		}
	}
	for name, spoil := range map[string]func(*bbolt.Tx) error{
		"a flipped bit in the name of check":    renamed("vault", "check", "chebk"),
		"a flipped bit in the name of keys":     renamed("hub", "keys", "keyq"),
		"no check":                              without("vault", "check"),
		"neither check nor keys, with bindings": both(without("vault", "check"), without("hub", "keys")),
		"no vault":                              func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("vault")) },
		"no bindings":                           func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("bindings")) },
		"no index of the outbox": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("outbox")).DeleteBucket([]byte("index"))
		},
	} {
		for _, key := range []string{"with its key", "without its key"} {
			t.Run(name+", "+key, func(t *testing.T) {
				dir := t.TempDir()
				must(t, enrolled(t, dir, front).Close())
				must(t, edit(dir, spoil))
				if key == "without its key" {
					must(t, os.Remove(filepath.Join(dir, "vault.key")))
				}
				refused(t, localstore.Options{Dir: dir}, home.ErrCorrupt)
				before := contents(t, dir)
				_, err := localstore.OpenReadOnly(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
				wants(t, err, home.ErrCorrupt)
				if !maps.Equal(before, contents(t, dir)) {
					t.Error("a look at the store has changed the directory")
				}
			})
		}
	}
}

func TestALookAtAnEmptyStoreMakesNoKey(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	must(t, open(t, dir).Close())
	must(t, os.Remove(filepath.Join(dir, "vault.key")))
	must(t, edit(dir, emptied)) // as a crash leaves it before the first record is written
	before := contents(t, dir)
	_, err := localstore.OpenReadOnly(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	wants(t, err, home.ErrNotFound)
	if home.HintOf(err) == "" {
		t.Errorf("no hint: %v", err)
	}
	if !maps.Equal(before, contents(t, dir)) {
		t.Error("a look at the store has changed the directory")
	}
}

// emptied deletes what is written when a store is new.
func emptied(tx *bbolt.Tx) error {
	return errors.Join(tx.Bucket([]byte("vault")).Delete([]byte("check")), tx.Bucket([]byte("hub")).Delete([]byte("keys")))
}
