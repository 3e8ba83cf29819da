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
	"github.com/spf13/pflag"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// fileFlags are the options of rekeyd run that name a file which it reads at its start.
var fileFlags = []string{"broker-password-file", "passphrase-file", "policy", "smtp-password-file", "tls"}

func newInstall() *cobra.Command {
	c := &cobra.Command{
		Use: "install [-- OPTION...]", Short: "Have systemd, or OpenWrt, start the daemon at every boot",
		Long: `Write what the service manager of this machine needs to start the daemon at every boot, and
print the commands that do it now: a unit for systemd, or an init script for OpenWrt. Options after -- are those
of rekeyd run; they go into what is written.

Under systemd the daemon runs as a user of its own, in a sandbox. Its state is in ` + supervisor.SystemdState + `. The key that opens the
passwords in there is made in ` + supervisor.KeyFile + `: keep it apart from the backup.

Nothing is replaced without --replace. With --print nothing is written at all, and no root is needed.`,
	}
	f := c.Flags()
	printOnly := f.Bool("print", false, "print the unit or script, and write nothing")
	manager := f.String("for", "", "systemd or openwrt; without it, what this machine has")
	replace := f.Bool("replace", false, "replace a unit or script that differs")
	root := f.String("root", "/", "write below this directory, as for the image of another machine")
	c.RunE = func(c *cobra.Command, as []string) error {
		args, err := runArgs(as)
		if err != nil {
			return terminal.Usage(c, err)
		}
		i := installation{c: c, root: *root, replace: *replace, setup: supervisor.Setup{Args: args}}
		if *manager == "" {
			*manager = managerHere()
		}
		switch {
		case *manager == "" && *printOnly:
			*manager = "systemd"
		case *manager == "":
			return &home.Error{
				Op: "install", Err: errors.New("this machine has neither systemd nor OpenWrt's procd"),
				Hint: "see rekeyd install --print --for systemd, and start at every boot: rekeyd run",
			}
		case *manager != "systemd" && *manager != "openwrt":
			return terminal.Usage(c, fmt.Errorf("--for %s: want systemd or openwrt", *manager))
		}
		if i.setup.Binary, err = i.binary(*printOnly); err != nil {
			return err
		}
		if *manager == "openwrt" {
			return i.openWrt(*printOnly)
		}
		return i.systemd(*printOnly)
	}
	return c
}

// runArgs checks options of rekeyd run.
func runArgs(as []string) (args []supervisor.Arg, err error) {
	run, rest, err := newRoot().Find(append([]string{"run"}, as...))
	if err == nil {
		err = run.ParseFlags(rest)
	}
	if err == nil && run.Flags().NArg() > 0 {
		err = fmt.Errorf("%q is no option of rekeyd run", run.Flags().Arg(0))
	}
	if err != nil {
		return nil, err
	}
	run.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if f.Name == "broker" || f.Name == "smtp" { // what is written here everybody may read
			err = errors.Join(err, userURLs{flag: f.Name, fileFlag: f.Name + "-password-file", urls: values}.check())
		}
		for _, v := range values {
			file := slices.Contains(fileFlags, f.Name) && !(f.Name == "tls" && v == "auto")
			args = append(args, supervisor.Arg{Name: f.Name, Value: v, File: file})
		}
	})
	return args, err
}

// managerHere returns which service manager this machine has, empty for none that is known.
func managerHere() string {
	if onOpenWrt() {
		return "openwrt"
	}
	if st, err := os.Stat("/run/systemd/system"); err == nil && st.IsDir() { // sd_booted(3)
		return "systemd"
	}
	return ""
}

// installation is one run of rekeyd install.
type installation struct {
	c       *cobra.Command
	root    string
	replace bool
	setup   supervisor.Setup
}

// binary returns the path of this program, as the service manager starts it.
func (i *installation) binary(printOnly bool) (string, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	hidden := slices.ContainsFunc([]string{"/home/", "/root/", "/run/", "/tmp/", "/var/tmp/"}, func(dir string) bool {
		return strings.HasPrefix(path, dir)
	})
	switch {
	case err == nil && !hidden:
		return path, nil
	case printOnly || i.root != "/":
		return "/usr/local/bin/rekeyd", nil
	case err != nil:
		return "", err
	}
	return "", &home.Error{
		Op: "install", Err: fmt.Errorf("the daemon's sandbox hides %s", filepath.Dir(path)),
		Hint: "run: sudo install -m 0755 " + path + " /usr/local/bin/rekeyd && sudo " + again("/usr/local/bin/rekeyd"),
	}
}

func (i *installation) systemd(printOnly bool) error {
	state := filepath.Join(i.root, supervisor.SystemdState)
	_, err := os.Stat(filepath.Join(state, "vault.key"))
	i.setup.NoVault = err == nil || slices.ContainsFunc(i.setup.Args, func(a supervisor.Arg) bool { return a.Name == "passphrase-file" })
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
			fmt.Fprintf(out, "Make the key of the vault, and keep it apart from the backup:\n  sudo sh -c 'umask 077; mkdir -p %s; test -e %s || head -c 32 /dev/urandom >%[2]s'\n",
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
		fmt.Fprintf(out, "The passwords in %s are opened as before, by the key file or the passphrase. Keep that apart from the backup.\n", supervisor.SystemdState)
		return nil
	}
	path := filepath.Join(i.root, supervisor.KeyFile)
	if _, err := os.Stat(path); err == nil {
		fmt.Fprintf(out, "Unchanged: %s, the key of the passwords in %s.\n", path, supervisor.SystemdState)
		return nil
	}
	if localstore.Exists(state) {
		return &home.Error{
			Op: "install", Err: fmt.Errorf("%s has a state whose key is missing: neither %s nor vault.key beside it", state, path),
			Hint: "put the key back there, from where you keep it",
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	if _, err := supervisor.Place(path, secret, 0o600, false); err != nil {
		return i.failure(path, err)
	}
	fmt.Fprintf(out, "Wrote %s: the key that opens the passwords in %s.\nKeep the key apart from the backup: whoever has both has your passwords, and without the key the backup is worth nothing.\n",
		path, supervisor.SystemdState)
	return nil
}

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
	fmt.Fprintf(out, `The state is in %[1]s, with the key of its passwords in vault.key. Keep the key apart from the backup.
To keep both over an upgrade of the firmware: echo %[1]s/ >>/etc/sysupgrade.conf
Start rekeyd now, and at every boot:
  %[2]s enable
  %[2]s start
Then go on as root, with: rekeyd status
`, supervisor.OpenWrtState, supervisor.ProcdScript)
	return nil
}

// place writes a file of the service manager, and says so.
func (i *installation) place(name, content string, mode fs.FileMode) error {
	path := filepath.Join(i.root, name)
	did, err := supervisor.Place(path, []byte(content), mode, i.replace)
	if err != nil {
		return i.failure(path, err)
	}
	fmt.Fprintf(i.c.OutOrStdout(), "%s %s.\n", did, path)
	return nil
}

// failure returns err with what the person can do.
func (i *installation) failure(path string, err error) error {
	hint := "see that the disk has room and this user may write there"
	switch {
	case errors.Is(err, supervisor.ErrDifferent):
		hint = "compare it with: " + again(i.setup.Binary, "--print") + "; replace it with: " + again(i.setup.Binary, "--replace")
	case errors.Is(err, fs.ErrPermission):
		err, hint = errors.New("this needs root"), "run: sudo "+again(i.setup.Binary)
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
