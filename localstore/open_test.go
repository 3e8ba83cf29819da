package localstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// contents returns every file of a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	all := map[string]string{}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		all[f.Name()] = string(raw)
	}
	return all
}

// refused checks that the store in dir is refused with want and a hint, and that the directory stays as it is.
func refused(t testing.TB, o localstore.Options, want error) {
	t.Helper()
	before := contents(t, o.Dir)
	o.Log = slog.New(slog.DiscardHandler)
	s, err := localstore.Open(o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("opened, want %v", want)
	}
	wants(t, err, want)
	if home.HintOf(err) == "" {
		t.Fatalf("no hint: %v", err)
	}
	if !maps.Equal(before, contents(t, o.Dir)) {
		t.Fatal("what is in the directory was changed")
	}
}

func TestOpenRefusesWhatItCannotTrust(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for name, c := range map[string]struct {
		spoil func(dir string) error
		o     localstore.Options
		want  error
	}{
		"missing key": {
			func(dir string) error { return os.Remove(filepath.Join(dir, "vault.key")) },
			localstore.Options{},
			home.ErrNewKey,
		},
		"other key": {func(dir string) error {
			open(t, filepath.Join(dir+"x")).Close()
			return os.Rename(filepath.Join(dir+"x", "vault.key"), filepath.Join(dir, "vault.key"))
		}, localstore.Options{}, home.ErrNewKey},
		"passphrase for a key file": {
			func(string) error { return nil },
			localstore.Options{Passphrase: home.NewSecret("p")},
			home.ErrNewKey,
		},
		"half a file": {func(dir string) error {
			return os.Truncate(filepath.Join(dir, "rekeyd.db"), int64(3*os.Getpagesize()))
		}, localstore.Options{}, home.ErrCorrupt},
		"no database": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "rekeyd.db"), []byte("hello\n"),
				0o600)
		}, localstore.Options{}, home.ErrCorrupt},
		"newer": {func(dir string) error {
			return edit(dir, func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("meta")).Put([]byte("version"), binary.BigEndian.AppendUint64(nil, 99))
			})
		}, localstore.Options{}, home.ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, enrolled(t, dir, front).Close())
			must(t, c.spoil(dir))
			c.o.Dir = dir
			refused(t, c.o, c.want)
		})
	}
}

// edit changes the database as only another program would.
func edit(dir string, do func(*bbolt.Tx) error) error {
	db, err := bbolt.Open(filepath.Join(dir, "rekeyd.db"), 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(do), db.Close())
}

func TestStoreInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	refused(t, localstore.Options{Dir: dir}, home.ErrLocked)
	must(t, s.Close())
	open(t, dir)
}

func TestPassphraseOpensTheVault(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	o := localstore.Options{Dir: dir, Passphrase: home.NewSecret("correct horse"), Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		s, err := localstore.Open(o)
		must(t, err)
		must(t, s.Check())
		must(t, s.Close())
	}
	refused(t, localstore.Options{Dir: dir, Passphrase: home.NewSecret("wrong")}, home.ErrNewKey)
	refused(t, localstore.Options{Dir: dir}, home.ErrNewKey)
}

func TestACrashBetweenTheTwoFilesLosesNothing(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, left := range []string{"vault.key", "rekeyd.db"} {
		dir := t.TempDir()
		must(t, open(t, dir).Close())
		for _, name := range []string{"vault.key", "rekeyd.db"} {
			if name != left {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
		}
		if left == "rekeyd.db" { // as it is before anything is sealed in it
			must(t, edit(dir, emptied))
		}
		must(t, open(t, dir).Check())
	}
}

func TestStateIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, dir)
	for path, want := range map[string]os.FileMode{
		dir: 0o700, filepath.Join(dir, "rekeyd.db"): 0o600,
		filepath.Join(dir, "vault.key"): 0o600,
	} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, st.Mode().Perm(), err)
		}
	}
	var log bytes.Buffer
	wide := t.TempDir()
	must(t, open(t, wide).Close())
	must(t, errors.Join(os.Chmod(wide, 0o755), os.Chmod(filepath.Join(wide, "vault.key"), 0o644)))
	s, err := localstore.Open(localstore.Options{Dir: wide, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	must(t, s.Close())
	for _, want := range []string{"state directory is open to other users", "vault key is open to other users"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, log.String())
		}
	}
	if _, err := localstore.Open(localstore.Options{}); err == nil {
		t.Error("opened without options")
	}
}

func TestSnapshotIsAWholeStore(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	s := enrolled(t, dir, front)
	f, err := os.Create(filepath.Join(copied, "rekeyd.db"))
	must(t, err)
	must(t, errors.Join(s.Snapshot(f), f.Close()))
	bind(t, s, back)
	key, err := os.ReadFile(filepath.Join(dir, "vault.key"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(copied, "vault.key"), key, 0o600))
	c := open(t, copied)
	must(t, c.Check())
	if bs, err := c.Bindings(); err != nil || len(bs) != 1 || bs[0].Device != front {
		t.Fatalf("%+v, %v", bs, err)
	}
}

// TestCheckFindsWhatDoesNotBelongTogether, and Open sets it aside.
func TestCheckFindsWhatDoesNotBelongTogether(t *testing.T) {
	for name, spoil := range map[string]func(*bbolt.Tx) error{
		"binding without a secret": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("vault")).Delete([]byte("bind/" +
				string(front)))
		},
		"binding without a device": func(tx *bbolt.Tx) error { return tx.Bucket([]byte("devices")).Delete([]byte(front)) },
		"device without a binding": func(tx *bbolt.Tx) error { return tx.Bucket([]byte("bindings")).Delete([]byte(front)) },
		"no account":               func(tx *bbolt.Tx) error { return tx.Bucket([]byte("accounts")).Delete([]byte(acct)) },
		"a record that is not": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("bindings")).Put([]byte(front),
				[]byte("{"))
		},
		"an index to nothing": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("outbox")).Bucket([]byte("queue")).Delete(binary.BigEndian.AppendUint64(nil, 1))
		},
		"an index to something else": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("outbox")).Bucket([]byte("index")).Put([]byte("ack/"), binary.BigEndian.AppendUint64(nil, 2))
		},
		"a box in another's place": func(tx *bbolt.Tx) error {
			v := tx.Bucket([]byte("vault"))
			return v.Put([]byte("bind/"+string(front)), bytes.Clone(v.Get([]byte("bind/"+string(back)))))
		},
		"an intent without a binding": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("intents")).Put([]byte("mac-x"), []byte(`{"Device":"mac-x","Holds":[1],"To":1}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := enrolled(t, dir, front, back)
			must(t, s.Check())
			must(t, s.Close())
			must(t, edit(dir, spoil))
			if name == "no account" {
				refused(t, localstore.Options{Dir: dir}, home.ErrCorrupt)
				return
			}
			look, err := localstore.OpenReadOnly(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			err = look.Check()
			wants(t, err, home.ErrCorrupt)
			if home.HintOf(err) == "" {
				t.Fatal("no hint")
			}
			must(t, look.Close())
			s = open(t, dir)
			must(t, s.Check())
			if set, err := s.Damaged(); err != nil || len(set) != 1 {
				t.Fatalf("set aside: %+v, %v", set, err)
			}
		})
	}
}

func TestNothingWorksAfterClose(t *testing.T) {
	s := enrolled(t, t.TempDir(), front)
	must(t, errors.Join(s.Close(), s.Close()))
	_, err := s.Bindings()
	wants(t, err, context.Canceled)
	wants(t, s.Record(home.Event{}), context.Canceled)
	wants(t, s.Check(), context.Canceled)
}
