//go:build unix

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// sameOwner gives the file to the owner of its folder: root may have written it, and the daemon's user reads it.
func (f *UserFile) sameOwner() error {
	st, err := os.Stat(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	if err := os.Chown(f.path, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, syscall.EPERM) {
		return err
	}
	return nil
}
