package boltstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestOnlyAnEmptyServiceStoreIsNew(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for name, spoil := range map[string]func(*bbolt.Tx) error{
		"a flipped bit in the name of the seeds": func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("service"))
			return errors.Join(b.Put([]byte("seedr"), bytes.Clone(b.Get([]byte("seeds")))), b.Delete([]byte("seeds")))
		},
		"accounts without seeds": func(tx *bbolt.Tx) error {
			return errors.Join(tx.Bucket([]byte("service")).Delete([]byte("seeds")),
				tx.Bucket([]byte("accounts")).Put([]byte("a"), []byte("{}")))
		},
		"no service": func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("service")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := must(boltstore.Open(dir, home.Secret{}))(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			db := must(bbolt.Open(filepath.Join(dir, "account.db"), 0o600, nil))(t)
			if err := errors.Join(db.Update(spoil), db.Close(), os.Remove(filepath.Join(dir, "account.key"))); err != nil {
				t.Fatal(err)
			}
			s, err := boltstore.Open(dir, home.Secret{})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, home.ErrCorrupt) || home.HintOf(err) == "" {
				t.Errorf("%v, want damage with a hint", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "account.key")); err == nil {
				t.Error("a new key was made over an existing store")
			}
		})
	}
}
