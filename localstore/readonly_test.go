package localstore_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// asAnotherUser runs do with the file permissions of a user who owns nothing here. Only root can change users; for
// anybody else the modes of the files, which forbid every write, do the same.
func asAnotherUser(t *testing.T, dir string, do func()) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		mode := os.FileMode(0o444)
		if path == dir {
			mode = 0o555
		}
		return errors.Join(err, os.Chmod(path, mode))
	}))
	defer func() { must(t, os.Chmod(dir, 0o700)) }()
	if os.Geteuid() != 0 {
		do()
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with its changed user
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		do()
	}()
	<-ended
}

// setFormat pretends that a file was written by an older version.
func setFormat(t *testing.T, dir string, format uint64, undo func(*bbolt.Tx) error) {
	t.Helper()
	must(t, edit(dir, func(tx *bbolt.Tx) error {
		return errors.Join(
			undo(tx), tx.Bucket([]byte("meta")).Put([]byte("version"), binary.BigEndian.AppendUint64(nil, format)),
		)
	}))
}

func TestAStoppedStoreIsReadByAnyUserAndStaysAsItIs(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"newest format": func(*testing.T, string) {},
		"format 1": func(t *testing.T, dir string) {
			setFormat(t, dir, 1, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("budget")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			must(t, os.Chmod(filepath.Dir(parent), 0o755))
			must(t, os.Chmod(parent, 0o755))
			dir := filepath.Join(parent, "state")
			s := enrolled(t, dir, front)
			observe(t, s, front, at(home.Current, 1))
			must(t, s.Close())
			prepare(t, dir)
			before := contents(t, dir)
			asAnotherUser(t, dir, func() {
				for range 2 { // a reader does not keep out another
					r, err := localstore.OpenReadOnly(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
					if err != nil {
						t.Errorf("open: %v", err)
						return
					}
					defer r.Close()
					a, err1 := r.Account()
					bs, err2 := r.Bindings()
					ds, err3 := r.Devices()
					es, err4 := r.History(9)
					_, err5 := r.HubKeys()
					if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
						t.Error(err)
					}
					if a.Epoch != 1 || len(bs) != 1 || bs[0].DeviceEpoch != 1 || len(ds) != 1 || len(es) == 0 {
						t.Errorf("account %+v, bindings %+v, %d devices, %d events", a, bs, len(ds), len(es))
					}
					if err := r.Record(home.Event{What: "x", At: time.Now()}); err == nil {
						t.Error("a store that was opened for reading was written")
					}
				}
			})
			if !maps.Equal(before, contents(t, dir)) {
				t.Error("reading has changed the directory")
			}
		})
	}
}

func TestAStoreThatIsNotThereIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := localstore.OpenReadOnly(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil ||
		home.HintOf(err) == "" {
		t.Errorf("opened, or no hint: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}
