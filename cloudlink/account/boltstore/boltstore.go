// Package boltstore keeps the state of the account service in one bbolt file, account.db. It fulfils account.Store,
// and is the only package below cloudlink that knows bbolt.
//
//	service        "seeds"             sealed: the seeds of the service's keys
//	               "mails"             how many mails wait
//	accounts       account             accountRecord
//	emails         address             account; the address in its normal form
//	links          token               linkRecord
//	pending        token               registrationRecord
//	newest         address             token of the address's newest registration
//	sessions       account/token       sessionRecord
//	pairings       pairing             pairingRecord
//	members        member              memberRecord
//	houses         account/member      nothing: an index of members
//	grants         member/epoch        grantRecord
//	said           member              answeredRecord: its last change, with the answer
//	devices        account/device      deviceRecord
//	natives        device/account      nothing: an index of bound devices that speak the link
//	signins        account/device      epoch
//	mail           due, number         sealed mailRecord; due in Unix milliseconds
//	history        account / number    a bucket of eventRecords for each account
//
// A token is stored as its hash. Numbers are 8 bytes, big-endian. Boxes are sealed with the key in account.key,
// with a systemd credential, or with a passphrase.
package boltstore

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
	"github.com/rekeyd/rekeyd/localstore/seal"
)

var (
	bktService       = []byte("service")
	bktAccounts      = []byte("accounts")
	bktEmails        = []byte("emails")
	bktLinks         = []byte("links")
	bktRegistrations = []byte("pending")
	bktNewest        = []byte("newest")
	bktSessions      = []byte("sessions")
	bktPairings      = []byte("pairings")
	bktMembers       = []byte("members")
	bktHouses        = []byte("houses")
	bktGrants        = []byte("grants")
	bktAnswered      = []byte("said")
	bktDevices       = []byte("devices")
	bktNatives       = []byte("natives")
	bktSignIns       = []byte("signins")
	bktMail          = []byte("mail")
	bktHistory       = []byte("history")

	buckets = [][]byte{
		bktService, bktAccounts, bktEmails, bktLinks, bktRegistrations, bktNewest, bktSessions, bktPairings, bktMembers,
		bktHouses, bktGrants, bktAnswered, bktDevices, bktNatives, bktSignIns, bktMail, bktHistory,
	}

	seedsKey = []byte("seeds")
	mailsKey = []byte("mails")
)

// Store is the file, and the key that seals its secrets. It caches nothing: a read costs microseconds. The renewals of
// leases are in memory only.
type Store struct {
	file *boltfile.File
	key  seal.Key
	seed maphash.Seed // of Device.Revision

	leases leases
}

var _ account.Store = (*Store)(nil)

// Open opens account.db in dir, and makes it at the first start, sealed with the passphrase where one is given.
func Open(dir string, passphrase home.Secret) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &home.Error{Op: "open the account service's state", Err: err, Hint: "see that this user may write to " +
			"" + dir}
	}
	f, err := boltfile.Open(filepath.Join(dir, DatabaseName), boltfile.Options{Migrations: migrations, Intact: intact})
	if err != nil {
		return nil, err
	}
	fresh, err := boltfile.View(f, func(tx *bbolt.Tx) (bool, error) {
		return tx.Bucket(bktService).Get(seedsKey) == nil, nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	key, err := seal.Source{File: filepath.Join(dir, KeyName), Passphrase: passphrase}.Load(fresh)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &Store{file: f, key: key, seed: maphash.MakeSeed(), leases: leases{of: map[string]renewal{}}}
	_, err = s.Identity() // a store with records has seeds from its first moment
	if err == nil {
		err = s.renewNotices()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// intact reports a store with records and without the seeds of the service's keys, or a bucket that is missing: it is
// damaged and not new.
func intact(tx *bbolt.Tx, format uint64) error {
	for _, name := range buckets {
		if format == uint64(len(migrations)) && tx.Bucket(name) == nil {
			return fmt.Errorf("the bucket %s is missing", name)
		}
	}
	service := tx.Bucket(bktService)
	if service == nil {
		return errors.New("the bucket service is missing")
	}
	if service.Get(seedsKey) == nil && !boltfile.Blank(tx, mailsKey) {
		return errors.New("the seeds of the service's keys are missing")
	}
	return nil
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

// Identity returns the service's own keys, made at the first start.
func (s *Store) Identity() (*wire.Identity, error) {
	box, err := boltfile.Update(s.file, func(tx *bbolt.Tx) ([]byte, error) {
		b := tx.Bucket(bktService)
		if box := b.Get(seedsKey); box != nil {
			return append([]byte(nil), box...), nil
		}
		box := s.key.Seal(append(wire.NewSeed(), wire.NewSeed()...), "service/seeds")
		return box, b.Put(seedsKey, box)
	})
	if err != nil {
		return nil, err
	}
	const op = "open the account service's keys"
	seeds, err := s.key.Open(box, "service/seeds")
	if err != nil {
		return nil, &home.Error{Op: op, Err: err, Hint: "put account.key back from the backup in which account.db is"}
	}
	if len(seeds) != 64 {
		return nil, &home.Error{Op: op, Err: home.ErrCorrupt, Hint: "put account.db back from a backup"}
	}
	return wire.NewIdentity(wire.RoleService, seeds[:32], seeds[32:])
}

// seal seals a secret for its place in the file; the zero secret is no box.
func (s *Store) seal(secret home.Secret, place string) []byte {
	if secret.IsZero() {
		return nil
	}
	return s.key.Seal([]byte(secret.Reveal()), place)
}

// open opens what seal returned.
func (s *Store) open(box []byte, place string) (home.Secret, error) {
	if len(box) == 0 {
		return home.Secret{}, nil
	}
	raw, err := s.key.Open(box, place)
	return home.SecretBytes(raw), err
}

// find reads a record that is to be there; home.ErrNotFound where it is not.
func find[T any](tx *bbolt.Tx, bucket, key []byte) (T, error) {
	v, ok, err := boltfile.Get[T](tx.Bucket(bucket), key)
	if err == nil && !ok {
		err = home.ErrNotFound
	}
	return v, err
}

// under is the key of a part of something: account/token, member/epoch.
func under(whole string, part []byte) []byte { return append([]byte(whole+"/"), part...) }

// parts returns the second halves of the keys of an index that begin with whole.
func parts(tx *bbolt.Tx, index []byte, whole string) (all []string) {
	prefix := under(whole, nil)
	c := tx.Bucket(index).Cursor()
	for k, _ := c.Seek(prefix); len(k) > len(prefix) && string(k[:len(prefix)]) == string(prefix); k, _ = c.Next() {
		all = append(all, string(k[len(prefix):]))
	}
	return all
}

// ms is an instant as it stands in the file.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// at is the instant that ms wrote.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
