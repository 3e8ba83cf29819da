package wire_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// counterpart returns the folder in which the node packages of testdata/npm are installed: at its first call on a machine. The
// test is skipped where there is no npm, except in CI.
func counterpart(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("short: npm's packages are left out")
	}
	missing := t.Skipf
	if os.Getenv("CI") != "" {
		missing = t.Fatalf
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing("%s is missing: the vectors cannot be checked with libraries that others wrote (Debian: nodejs npm)", tool)
		}
	}
	source := filepath.Join("testdata", "npm")
	sum := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(raw)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		missing("no place to install npm's packages: %v", err)
	}
	dir := filepath.Join(cache, "rekeyd-test", "npm-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	// Installed beside dir and renamed into place, so that dir is whole or not there.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "npm-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		missing("npm cannot install the packages (no network?): %v\n%s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, gone := os.Stat(dir); gone != nil { // else another test was faster
			t.Fatal(err)
		}
	}
	return dir
}

func TestVectorsHoldInAnotherImplementation(t *testing.T) {
	dir := counterpart(t)
	script, err := os.ReadFile(filepath.Join("testdata", "npm", "check.js"))
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(vectors string) (string, error) {
		file := filepath.Join(t.TempDir(), "vectors.json")
		if err := os.WriteFile(file, []byte(vectors), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", string(script), "check", file)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := check(string(vectors)); err != nil || !strings.HasSuffix(out, "checks hold\n") {
		t.Errorf("%v\n%s", err, out)
	}
	// A check that cannot fail would say nothing: each part, damaged, is found out.
	for part, marker := range map[string]string{
		"a name": `"name": "hub-`, "an encoding": `"bytes": "`, "a message": `\"account\":\"k3v9`, "a hash": `"hash": "`,
		"a seal": `"sealed": "`, "a proof": `"service": "`, "a pairing": `"by_service": "`, "a login": `"password": "`,
	} {
		before, after, found := strings.Cut(string(vectors), marker)
		if !found {
			t.Fatalf("%s: nothing to damage", part)
		}
		first := "0"
		if strings.HasPrefix(after, first) {
			first = "1"
		}
		if out, err := check(before + marker + first + after[1:]); err == nil {
			t.Errorf("%s was damaged, and the other implementation says: %s", part, out)
		}
	}
}

func TestPackagesOfNpmArePinned(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "npm", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), `"resolved"`) {
		t.Error("package-lock.json names a registry: npm install --omit-lockfile-registry-resolved")
	}
	if n := strings.Count(string(raw), `"integrity": "sha512-`); n != strings.Count(string(raw), `"node_modules/`) {
		t.Errorf("%d packages have a hash", n)
	}
}
