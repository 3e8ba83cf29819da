package main

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// onOpenWrt reports whether this machine runs OpenWrt.
func onOpenWrt() bool {
	_, err := os.Stat("/etc/openwrt_release")
	return err == nil
}

// defaultState follows the platform: systemd's StateDirectory, /var/lib for root (/etc where /var is lost at every
// start, as on OpenWrt), else the user's own place.
func defaultState() string {
	if d := os.Getenv("STATE_DIRECTORY"); d != "" {
		return d
	}
	switch {
	case os.Geteuid() == 0 && (onOpenWrt() || app.Volatile(supervisor.SystemdState)) &&
		!localstore.Exists(supervisor.SystemdState):
		return supervisor.OpenWrtState
	case os.Geteuid() == 0:
		return supervisor.SystemdState
	}
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "rekeyd")
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "rekeyd-state"
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(dir, "Library", "Application Support", "rekeyd")
	}
	return filepath.Join(dir, ".local", "state", "rekeyd")
}

// stateOf returns the state directory that the command line names.
func stateOf(c *cobra.Command) string {
	if d, _ := c.Flags().GetString("state"); d != "" {
		return d
	}
	return defaultState()
}

// passphraseOf returns the passphrase that the command line names a file of; zero when it names none.
func passphraseOf(c *cobra.Command) (home.Secret, error) {
	path, _ := c.Flags().GetString("passphrase-file")
	if path == "" {
		return home.Secret{}, nil
	}
	return readSecretFile("passphrase", path)
}
