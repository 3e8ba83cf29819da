package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// ErrDifferent is the error of a file that is there with another content.
var ErrDifferent = errors.New("it exists, and differs from what would be written")

// Place writes a file as a whole, or not at all, and returns what it did: "Wrote", "Replaced" or "Unchanged". It
// returns ErrDifferent instead of replacing a file, unless replace is set.
func Place(path string, content []byte, mode fs.FileMode, replace bool) (did string, err error) {
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		did = "Wrote"
	case err != nil:
		return "", err
	case bytes.Equal(old, content):
		return "Unchanged", nil
	case !replace:
		return "", ErrDifferent
	default:
		did = "Replaced"
	}
	folder := fs.FileMode(0o755)
	if mode&0o077 == 0 {
		folder = 0o700 // of a secret
	}
	if err := os.MkdirAll(filepath.Dir(path), folder); err != nil {
		return "", err
	}
	if err := atomicfile.Write(path, content, mode); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return did, nil
}
