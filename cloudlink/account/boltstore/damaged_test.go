package boltstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
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

// TestADamagedRecordStopsNoOther damages one record of each kind. The service starts, serves the other accounts, and
// reports each.
func TestADamagedRecordStopsNoOther(t *testing.T) {
	db, key, want := goldenDisk(t)
	dir := t.TempDir()
	path := filepath.Join(dir, boltstore.DatabaseName)
	if err := errors.Join(os.WriteFile(path, db, 0o600),
		os.WriteFile(filepath.Join(dir, boltstore.KeyName), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	spoil := func(tx *bbolt.Tx) (err error) {
		for bucket, key := range map[string]string{"accounts": "carl", "sessions": "", "pairings": "", "links": ""} {
			b := tx.Bucket([]byte(bucket))
			k := []byte(key)
			if key == "" {
				k, _ = b.Cursor().First()
			}
			raw := bytes.Clone(b.Get(k))
			raw[len(raw)/2] ^= 1
			err = errors.Join(err, b.Put(bytes.Clone(k), raw))
		}
		return err
	}
	file := must(bbolt.Open(path, 0o600, nil))(t)
	if err := errors.Join(file.Update(spoil), file.Close()); err != nil {
		t.Fatal(err)
	}
	s := must(boltstore.Open(dir, home.Secret{}))(t)
	defer s.Close()
	if damaged := must(s.Damaged())(t); len(damaged) != 4 {
		t.Errorf("reported: %q, want 4", damaged)
	}
	if got := must(reads(s)["account"]())(t); !reflect.DeepEqual(got, want["account"]) {
		t.Errorf("account %+v", got)
	}
	if _, err := s.Account("carl"); !errors.Is(err, home.ErrCorrupt) {
		t.Errorf("the damaged account: %v", err)
	}
	if ns := must(s.Notices("", 10))(t); len(ns) == 0 {
		t.Error("no notices")
	}
	hub := must(s.Members("anna"))(t)[0].Name
	if err := s.RemoveHub("anna", hub, account.Event{At: time.Now(), What: "hub removed"}); err != nil {
		t.Errorf("remove a hub: %v", err)
	}
	if err := s.Sweep(time.Now()); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if damaged := must(s.Damaged())(t); len(damaged) != 1 {
		t.Errorf("after a sweep: %q, want the account", damaged)
	}
}
