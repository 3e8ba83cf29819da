// Package npmtest brings devices, clients and libraries that others wrote, as node packages, to tests.
package npmtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// Packages returns the folder in which the node packages that source locks (package.json, package-lock.json) are
// installed: at its first call on a machine. Call it before nettest.InNamespace, where there is no way out any more.
// The test is skipped where there is no npm, except in CI.
func Packages(t testing.TB, source string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("short: npm's packages are left out")
	}
	dir, err := install(t.Context(), source)
	if err != nil {
		nettest.Missing(t, "the programs of others cannot be tested against: %v", err)
	}
	return dir
}

func install(ctx context.Context, source string) (dir string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is missing (Debian: nodejs npm)", tool)
		}
	}
	sum := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		sum.Write(raw)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to install npm's packages: %w", err)
	}
	dir = filepath.Join(cache, "rekeyd-test", "npm-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// Installed beside dir and renamed into place, so that dir is whole or not there.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "npm-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, os.DirFS(source)); err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm cannot install the packages (no network?): %w\n%s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, gone := os.Stat(dir); gone != nil { // else another was faster
			return "", err
		}
	}
	return dir, nil
}
