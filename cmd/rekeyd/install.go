package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// fileFlags are the options of rekeyd run that name a file which it reads at its start.
var fileFlags = []string{
	"broker-ca", "broker-password-file", "config", "mqtt-ca", "mqtt-password-file", "passphrase-file", "policy",
	"smtp-password-file", "tls",
}

// newInstall returns the command that writes what a service manager needs. It starts nothing: the commands for that are
// printed, so that the owner sees them.
func newInstall() *cobra.Command {
	c := &cobra.Command{
		Use: "install [-- OPTION...]", Short: "Have systemd, or OpenWrt, start the daemon at every boot",
		Long: `Write what the service manager of this machine needs to start the daemon at every boot, and
print the commands that do it now: a unit for systemd, or an init script for OpenWrt. Options after -- are those
of rekeyd run; they go into what is written. Other settings of the daemon belong into ` + systemConfig + `,
which needs no new unit or script.

Under systemd the daemon runs as a user of its own, in a sandbox. Its state is in ` + supervisor.SystemdState + `.
The key that opens the passwords in there is made in ` + supervisor.KeyFile + `: keep it apart from the
backup. On OpenWrt the state is in ` + supervisor.OpenWrtState + `, on flash: /tmp and /var are lost at every start.

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
		i.manager = *manager
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
		if f.Name == "broker" || f.Name == "smtp" { // unit and script are world-readable
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
