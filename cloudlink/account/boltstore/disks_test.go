package boltstore_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/boltstore"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/disktest"
)

// reads returns a store's answer to each kind of question about the accounts of the golden file.
func reads(s *boltstore.Store) map[string]func() (any, error) {
	const mail = "anna@example.org"
	of := func() (account.Account, error) { return s.AccountByEmail(mail) }
	all := map[string]func() (any, error){
		"identity": func() (any, error) {
			id, err := s.Identity()
			if err != nil {
				return nil, err
			}
			return id.Name, nil
		},
		"account":      func() (any, error) { return of() },
		"registration": func() (any, error) { return s.Registration("reg") },
		"notices":      func() (any, error) { return s.Notices("", 10) },
	}
	ask := func(name string, f func(account.Account) (any, error)) {
		all[name] = func() (any, error) {
			a, err := of()
			if err != nil {
				return nil, err
			}
			return f(a)
		}
	}
	ask("members", func(a account.Account) (any, error) { return s.Members(a.ID) })
	ask("history", func(a account.Account) (any, error) { return s.History(a.ID) })
	ask("sessions", func(a account.Account) (any, error) { return s.Sessions(a.ID) })
	ask("devices", func(a account.Account) (any, error) {
		ds, err := s.Devices(a.ID)
		for i := range ds {
			ds[i].Revision = 0 // another at each start
			ds[i].SignedIn = 0 // its record has no checksum: a wrong one costs a sign-in
		}
		return ds, err
	})
	ask("grants", func(a account.Account) (any, error) {
		var gs []wire.Notice
		ms, err := s.Members(a.ID)
		for _, m := range ms {
			g, gerr := s.Grants(m.Name, 0)
			err = errors.Join(err, gerr)
			for _, one := range g {
				gs = append(gs, one.Notice)
			}
		}
		return gs, err
	})
	return all
}

// checkServiceDisk writes the two files of a store, opens it, and compares its answers with those of the intact one.
func checkServiceDisk(t *testing.T, dir string, db, key []byte, want map[string]any) {
	t.Helper()
	path := filepath.Join(dir, boltstore.DatabaseName)
	err := errors.Join(os.WriteFile(path, db, 0o600), os.WriteFile(filepath.Join(dir, boltstore.KeyName), key, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(dir, home.Secret{})
	if err != nil {
		known := errors.Is(err, home.ErrCorrupt) || errors.Is(err, home.ErrNewer) || errors.Is(err, home.ErrNewKey)
		if left, _ := os.ReadFile(path); !known || home.HintOf(err) == "" || !bytes.Equal(left, db) {
			t.Errorf("refused with %v, hint %q; the file is unchanged: %v", err, home.HintOf(err), bytes.Equal(left, db))
		}
		return
	}
	defer s.Close()
	damaged, err := s.Damaged()
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range reads(s) {
		got, err := read()
		switch {
		case len(damaged) > 0, errors.Is(err, home.ErrCorrupt), errors.Is(err, home.ErrNewKey): // reported
		case err != nil:
			t.Errorf("%s: %v, and no damage is reported", name, err)
		case !reflect.DeepEqual(got, want[name]):
			t.Errorf("%s: %+v, want %+v", name, got, want[name])
		}
	}
}

// goldenDisk returns the files of the newest golden store, and its answers.
func goldenDisk(t testing.TB) (db, key []byte, want map[string]any) {
	t.Helper()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := disktest.Dir(t)
	var errs [5]error
	db, errs[0] = os.ReadFile(filepath.Join("testdata", newest))
	key, errs[1] = os.ReadFile(filepath.Join("testdata", boltstore.KeyName))
	errs[2] = os.WriteFile(filepath.Join(dir, boltstore.DatabaseName), db, 0o600)
	errs[3] = os.WriteFile(filepath.Join(dir, boltstore.KeyName), key, 0o600)
	s, err := boltstore.Open(dir, home.Secret{})
	if errs[4] = err; errors.Join(errs[:]...) != nil {
		t.Fatal(errors.Join(errs[:]...))
	}
	defer s.Close()
	want = map[string]any{}
	for name, read := range reads(s) {
		if want[name], err = read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return db, key, want
}

// FuzzServiceDisks: a file that a disk has cut, swapped, cleared or flipped is refused with a hint and left as it is,
// or every answer from it is that of the intact file, or reports the damage.
func FuzzServiceDisks(f *testing.F) {
	db, key, want := goldenDisk(f)
	for fault := range byte(disktest.Faults) {
		f.Add(false, fault, uint32(5000), uint32(9000))
		f.Add(true, fault, uint32(3), uint32(17))
	}
	f.Fuzz(func(t *testing.T, inKey bool, fault byte, at, with uint32) {
		bad, badKey := db, key
		if inKey {
			badKey = disktest.Spoiled(key, fault, at, with)
		} else {
			bad = disktest.Spoiled(db, fault, at, with)
		}
		checkServiceDisk(t, disktest.Dir(t), bad, badKey, want)
	})
}

// TestAFlippedBitOfAServiceIsFound tries many bits of the pages that hold something.
func TestAFlippedBitOfAServiceIsFound(t *testing.T) {
	db, key, want := goldenDisk(t)
	used := disktest.Used(db)
	dir, r := disktest.Dir(t), rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	for range 400 {
		at, bit := used[r.IntN(len(used))], uint32(r.IntN(8))
		if checkServiceDisk(t, dir, disktest.Spoiled(db, disktest.FlipBit, at, bit), key, want); t.Failed() {
			t.Fatalf("after bit %d of byte %d of %d", bit, at, len(db))
		}
	}
}
