package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/boltfile"
)

// holdEnv makes this test binary a process that holds the file it names until its standard input ends.
const holdEnv = "BOLTFILE_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = f.Close()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var things = []byte("things")

// one is the shortest list of migrations.
var one = []func(*bbolt.Tx) error{func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(things); return err }}

func open(t testing.TB, path string) *boltfile.File {
	t.Helper()
	f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func put(t testing.TB, f *boltfile.File, key, value string) {
	t.Helper()
	if err := f.Update(func(tx *bbolt.Tx) error { return tx.Bucket(things).Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, f *boltfile.File) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := f.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(things).ForEach(func(k, v []byte) error { all[string(k)] = string(v); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refused checks that path is refused with want and a hint, and left as it is.
func refused(t *testing.T, path string, want error) {
	t.Helper()
	before := read(t, path)
	f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
	if err == nil {
		_ = f.Close()
		t.Fatalf("opened, want %v", want)
	}
	if !errors.Is(err, want) || home.HintOf(err) == "" {
		t.Fatalf("err %v, hint %q; want %v and a hint", err, home.HintOf(err), want)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Fatal("the refused file was changed")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Fatalf("files beside the refused one: %v", left)
	}
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	open(t, path)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
}

func TestFileInUseByAnotherProcessIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output := make([]byte, 64)
	n, _ := out.Read(output)
	if got := strings.TrimSpace(string(output[:n])); got != "held" {
		t.Fatalf("other process printed %q", got)
	}
	refused(t, path, home.ErrLocked)
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestNewerFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	f, err := boltfile.Open(path, boltfile.Options{Migrations: append(one[:1:1], func(*bbolt.Tx) error { return nil })})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, home.ErrNewer)
}

func TestFileOfAnotherProgramIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, path, home.ErrCorrupt)
}

func TestMigrationsRunOnceInOrderAndTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	var ran []int
	var txs []int
	step := func(n int, err error) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			ran, txs = append(ran, n), append(txs, tx.ID())
			if _, err := tx.CreateBucket(fmt.Appendf(nil, "b%d", n)); err != nil {
				return err
			}
			return err
		}
	}
	try := func(ms ...func(*bbolt.Tx) error) error {
		ran, txs = nil, nil
		f, err := boltfile.Open(path, boltfile.Options{Migrations: ms})
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err := try(step(1, nil)); err != nil || fmt.Sprint(ran) != "[1]" {
		t.Fatal(ran, err)
	}
	before := read(t, path)
	failure := errors.New("no room")
	if err := try(step(1, nil), step(2, nil), step(3, failure)); !errors.Is(err, failure) || fmt.Sprint(ran) != "[2 3]" {
		t.Fatal(ran, err)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Fatal("a migration that failed changed the file")
	}
	if err := try(step(1, nil), step(2, nil), step(3, nil)); err != nil || fmt.Sprint(ran) != "[2 3]" || txs[0] != txs[1] {
		t.Fatal(ran, txs, err)
	}
	if err := try(step(1, nil), step(2, nil), step(3, nil)); err != nil || ran != nil {
		t.Fatal(ran, err)
	}
}

func TestLeftoversOfACrashAreSweptAway(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	for _, name := range []string{"a.db.new", "a.db.new-123", "a.db.new-4"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half a page"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := open(t, path)
	put(t, f, "k", "v")
	left, _ := filepath.Glob(path + "*")
	if len(left) != 2 { // the file, and ".new", which is not a name of this package's
		t.Fatal(left)
	}
}

func TestTwoFirstStartsMakeOneFile(t *testing.T) {
	for range 4 {
		path := filepath.Join(t.TempDir(), "a.db")
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				f, err := boltfile.Open(path, boltfile.Options{Migrations: one})
				if err != nil {
					t.Error(err)
					return
				}
				put(t, f, fmt.Sprint(i), "v")
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := content(t, open(t, path)); len(got) != 4 {
			t.Fatalf("of four writers, one after another, there is %v", got)
		}
	}
}

func TestNothingWorksAfterClose(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "a.db"))
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	nop := func(*bbolt.Tx) error { return nil }
	for what, err := range map[string]error{
		"update": f.Update(nop), "view": f.View(nop),
		"snapshot": f.Snapshot(&bytes.Buffer{}), "check": f.Check(),
	} {
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}
