package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// installation is one run of rekeyd install.
type installation struct {
	c       *cobra.Command
	manager string // "systemd" or "openwrt"
	root    string
	replace bool
	setup   supervisor.Setup
}

// places are the usual path of the program under each service manager, and the folders from which that cannot start it.
var places = map[string]struct {
	binary string
	hidden []string
	reason string
}{
	"systemd": {
		"/usr/local/bin/rekeyd", []string{"/home/", "/root/", "/run/", "/tmp/", "/var/tmp/"}, "the daemon's sandbox hides %s",
	},
	"openwrt": {"/usr/bin/rekeyd", []string{"/tmp/", "/var/"}, "%s is lost when the router restarts"},
}

// binary returns the path of this program, as the service manager starts it.
func (i *installation) binary(printOnly bool) (string, error) {
	place := places[i.manager]
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	hidden := slices.ContainsFunc(place.hidden, func(dir string) bool { return strings.HasPrefix(path, dir) })
	switch {
	case err == nil && !hidden:
		return path, nil
	case printOnly || i.root != "/":
		return place.binary, nil
	case err != nil:
		return "", err
	}
	hint := "run: sudo install -m 0755 " + path + " " + place.binary + " && sudo " + again(place.binary)
	if i.manager == "openwrt" { // it has neither sudo nor install
		hint = "run: cp " + path + " " + place.binary + " && " + again(place.binary)
	}
	return "", &home.Error{Op: "install", Err: fmt.Errorf(place.reason, filepath.Dir(path)), Hint: hint}
}

// systemd writes the unit and the key of the vault, or prints the unit. The key is a systemd credential: only root and
// the running unit can read it.
func (i *installation) systemd(printOnly bool) error {
	state := filepath.Join(i.root, supervisor.SystemdState)
	_, err := os.Stat(filepath.Join(state, "vault.key"))
	passphrase := func(a supervisor.Arg) bool { return a.Name == "passphrase-file" }
	i.setup.NoVault = err == nil || slices.ContainsFunc(i.setup.Args, passphrase)
	unit, err := i.setup.Unit()
	if err != nil {
		return terminal.Usage(i.c, err)
	}
	out := i.c.OutOrStdout()
	if printOnly {
		fmt.Fprint(out, unit)
		out = i.c.ErrOrStderr()
		fmt.Fprintf(out, "This is for %s.\n", supervisor.UnitFile)
		if !i.setup.NoVault {
			fmt.Fprintf(out, "Make the key of the vault, and keep it apart from the backup:\n"+
				"  sudo sh -c 'umask 077; mkdir -p %s; test -e %s || head -c 32 /dev/urandom >%[2]s'\n",
				filepath.Dir(supervisor.KeyFile), supervisor.KeyFile)
		}
	} else {
		if err := i.place(supervisor.UnitFile, unit, 0o644); err != nil {
			return err
		}
		if err := i.key(state); err != nil {
			return err
		}
	}
	fmt.Fprint(out, `Start rekeyd now, and at every boot:
  sudo systemctl daemon-reload
  sudo systemctl enable --now rekeyd
Then go on as root, with: sudo rekeyd status
`)
	return nil
}

// key makes the key of the vault, unless there is one.
func (i *installation) key(state string) error {
	out := i.c.OutOrStdout()
	if i.setup.NoVault {
		fmt.Fprintf(out, "The passwords in %s are opened as before, by the key file or the passphrase. "+
			"Keep that apart from the backup.\n", supervisor.SystemdState)
		return nil
	}
	path := filepath.Join(i.root, supervisor.KeyFile)
	if _, err := os.Stat(path); err == nil {
		fmt.Fprintf(out, "Unchanged: %s, the key of the passwords in %s.\n", path, supervisor.SystemdState)
		return nil
	}
	if localstore.Exists(state) {
		return &home.Error{
			Op:   "install",
			Err:  fmt.Errorf("%s has a state whose key is missing: neither %s nor vault.key beside it", state, path),
			Hint: "put the key back there, from where you keep it",
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	if _, err := supervisor.Place(path, secret, 0o600, false); err != nil {
		return i.failure(path, err)
	}
	fmt.Fprintf(out, "Wrote %s: the key that opens the passwords in %s.\nKeep the key apart from the backup: "+
		"whoever has both has your passwords, and without the key the backup is worth nothing.\n",
		path, supervisor.SystemdState)
	return nil
}

// openWrt writes the init script of procd, or prints it. OpenWrt keeps no key apart from the state: flash is all that
// there is.
func (i *installation) openWrt(printOnly bool) error {
	script, err := i.setup.Procd()
	if err != nil {
		return terminal.Usage(i.c, err)
	}
	out := i.c.OutOrStdout()
	if printOnly {
		fmt.Fprint(out, script)
		out = i.c.ErrOrStderr()
		fmt.Fprintf(out, "This is for %s, with mode 0755.\n", supervisor.ProcdScript)
	} else if err := i.place(supervisor.ProcdScript, script, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(out, `The state is in %[1]s, with the key of its passwords in vault.key.
Keep the key apart from the backup.
To keep both over an upgrade of the firmware: echo %[1]s/ >>/etc/sysupgrade.conf
Start rekeyd now, and at every boot:
  %[2]s enable
  %[2]s start
Then go on as root, with: rekeyd status
`, supervisor.OpenWrtState, supervisor.ProcdScript)
	return nil
}

// place writes a file of the service manager and prints the result.
func (i *installation) place(name, content string, mode fs.FileMode) error {
	path := filepath.Join(i.root, name)
	did, err := supervisor.Place(path, []byte(content), mode, i.replace)
	if err != nil {
		return i.failure(path, err)
	}
	fmt.Fprintf(i.c.OutOrStdout(), "%s %s.\n", did, path)
	return nil
}

// failure returns err with a hint for the person.
func (i *installation) failure(path string, err error) error {
	hint := "see that the disk has room and this user may write there"
	switch {
	case errors.Is(err, supervisor.ErrDifferent):
		hint = "compare it with: " + again(i.setup.Binary, "--print") +
			"; replace it with: " + again(i.setup.Binary, "--replace")
	case errors.Is(err, fs.ErrPermission):
		err, hint = errors.New("this needs root"), "run as root: "+again(i.setup.Binary)
	}
	return &home.Error{Op: "write " + path, Err: err, Hint: hint}
}

// again returns this command line as one for the shell, of the program at binary and with more options.
func again(binary string, more ...string) string {
	at := slices.Index(os.Args, "install")
	words := slices.Concat([]string{binary}, os.Args[1:at+1], more, os.Args[at+1:])
	for i, w := range words {
		words[i] = supervisor.ShellQuote(w)
	}
	return strings.Join(words, " ")
}
