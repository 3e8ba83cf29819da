package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, content := range []string{"first", "second and longer", ""} {
		// What a crash left of an earlier try is in no way of the next.
		if err := os.WriteFile(path+".new", []byte("half a fi"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := atomicfile.Write(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		st, serr := os.Stat(path)
		if err != nil || serr != nil || string(raw) != content || st.Mode().Perm() != 0o600 {
			t.Errorf("wrote %q, read %q, mode %v, %v, %v", content, raw, st.Mode(), err, serr)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}

func TestAFailureLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.Mkdir(path, 0o700); err != nil { // a directory cannot be replaced by a file
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("x"), 0o600); err == nil {
		t.Error("no error")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 || !files[0].IsDir() {
		t.Errorf("left %v", files)
	}
}
