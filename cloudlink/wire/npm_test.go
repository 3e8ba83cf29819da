package wire_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/npmtest"
)

func TestVectorsHoldInAnotherImplementation(t *testing.T) {
	dir := npmtest.Packages(t, filepath.Join("testdata", "npm"))
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
	// A check that cannot fail would show nothing: each part, damaged, is found out.
	for part, marker := range map[string]string{
		"a name": `"name": "hub-`, "an encoding": `"bytes": "`, "a message": `"name": "enrol",
      "jws": "ey`, "a hash": `"hash": "`,
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
			t.Errorf("%s was damaged, and the other implementation reports: %s", part, out)
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
