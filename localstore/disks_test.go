package localstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
	"github.com/rekeyd/rekeyd/localstore/disktest"
)

// contents of a store that a fault must not change unreported.
type kept struct {
	account     home.Account
	bindings    []home.Binding
	devices     []home.Device
	credentials []home.Credential
	intents     []home.Intent
	history     []home.Event
	damaged     []home.Damage
}

func keptIn(t *testing.T, s *localstore.Store) (k kept) {
	t.Helper()
	h, err := s.House()
	must(t, err)
	k.account, k.bindings, k.devices, k.intents = h.Account, h.Bindings, h.Devices, h.Intents
	k.credentials, err = s.Credentials(acct)
	must(t, err)
	k.history, err = s.History(100)
	must(t, err)
	k.damaged, err = s.Damaged()
	must(t, err)
	return k
}

// reported returns how many damaged records of a kind the store reports.
func (k kept) reported(records ...string) (n int) {
	for _, d := range k.damaged {
		if slices.Contains(records, d.Record) {
			n++
		}
	}
	return n
}

// same fails where got has a value that want has not, or has lost more values than were reported.
func same[T any](t *testing.T, what string, got, want []T, reported int) {
	t.Helper()
	in := func(v T, all []T) bool {
		return slices.ContainsFunc(all, func(w T) bool { return reflect.DeepEqual(v, w) })
	}
	for _, v := range got {
		if !in(v, want) {
			t.Errorf("%s: %+v was never written", what, v)
		}
	}
	lost := slices.DeleteFunc(slices.Clone(want), func(v T) bool { return in(v, got) })
	if len(lost) > reported {
		t.Errorf("%s: lost %+v, and %d damaged records are reported", what, lost, reported)
	}
}

// checkDisk writes the two files of a store, opens it, and compares it with what was written.
func checkDisk(t *testing.T, dir string, db, key []byte, want kept) {
	t.Helper()
	path := filepath.Join(dir, "rekeyd.db")
	must(t, errors.Join(os.WriteFile(path, db, 0o600), os.WriteFile(filepath.Join(dir, "vault.key"), key, 0o600)))
	s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		known := errors.Is(err, home.ErrCorrupt) || errors.Is(err, home.ErrNewer) || errors.Is(err, home.ErrNewKey)
		if left, _ := os.ReadFile(path); !known || home.HintOf(err) == "" || !bytes.Equal(left, db) {
			t.Errorf("refused with %v, hint %q; the file is unchanged: %v", err, home.HintOf(err), bytes.Equal(left, db))
		}
		return
	}
	defer s.Close()
	must(t, s.Check())
	got := keptIn(t, s)
	if !reflect.DeepEqual(got.account, want.account) {
		t.Errorf("account %+v", got.account)
	}
	devices := got.reported(home.DamagedDevice)
	same(t, "bindings", got.bindings, want.bindings, devices)
	same(t, "devices", got.devices, want.devices, devices)
	same(t, "credentials", got.credentials, want.credentials, got.reported(home.DamagedPassword))
	same(t, "intents", got.intents, want.intents, devices+got.reported(home.DamagedIntent))
	events := slices.DeleteFunc(got.history, func(e home.Event) bool { return e.What == "damaged record set aside" })
	same(t, "history", events, want.history, got.reported(home.DamagedEvent))
}

func original(t testing.TB) (db, key []byte, want kept) {
	t.Helper()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := withKey(t, golden(newestFormat))
	db, err := os.ReadFile(filepath.Join(dir, "rekeyd.db"))
	must(t, err)
	key, err = os.ReadFile(filepath.Join(dir, "vault.key"))
	must(t, err)
	s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	h, err := s.House()
	must(t, err)
	want = kept{account: h.Account, bindings: h.Bindings, devices: h.Devices, intents: h.Intents}
	want.credentials, err = s.Credentials(acct)
	must(t, err)
	want.history, err = s.History(100)
	must(t, errors.Join(err, s.Close()))
	return db, key, want
}

// FuzzDisks: a file that a disk has cut, swapped, cleared or flipped is opened with what was written, less the records
// that it reports as damaged, or it is refused with a hint and left as it is.
func FuzzDisks(f *testing.F) {
	db, key, want := original(f)
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
		checkDisk(t, disktest.Dir(t), bad, badKey, want)
	})
}

// TestAFlippedBitIsFound tries many bits of the pages that hold something.
func TestAFlippedBitIsFound(t *testing.T) {
	db, key, want := original(t)
	used := disktest.Used(db)
	dir, r := disktest.Dir(t), rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	for range 400 {
		at, bit := used[r.IntN(len(used))], uint32(r.IntN(8))
		if checkDisk(t, dir, disktest.Spoiled(db, disktest.FlipBit, at, bit), key, want); t.Failed() {
			t.Fatalf("after bit %d of byte %d of %d", bit, at, len(db))
		}
	}
}
