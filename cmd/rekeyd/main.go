// Command rekeyd gets every camera, plug, switch and bulb in a house signed in again after the account's password was
// reset.
//
// This package reads the command line and prints results; each command is a file. internal/app connects the parts of
// the daemon.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
)

// version is set when a release is built.
var version = "0.1.0-dev"

func main() {
	log.SetOutput(io.Discard) // net/http logs there bytes that a device chose
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	return report(errs, err)
}

// newRoot makes the command line: the root, its flags and every command.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "rekeyd",
		Short: "Signs every device of a house in again after the account's password was reset",
		Long: `rekeyd finds the cameras, plugs, switches and bulbs of a house, remembers which
of them belong to your account, and after you have reset a forgotten password
moves each one to the new password and signs it in again.

Begin with:  rekeyd run      (on the hub, and leave it running)
             rekeyd setup    (once: it asks for your account, and leads on)
After a reset there is nothing to do:  rekeyd status  shows how far it is. After
a change in the vendor's app repeat the login with the new password.`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.Version = version
	// No template of cobra's: text/template calls methods by name, so that the linker drops none of them, and a router's
	// binary is 2 MB larger.
	root.SetUsageFunc(func(c *cobra.Command) error { return terminal.PrintUsage(c.OutOrStderr(), c) })
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return terminal.Usage(c, flagError(c, err)) })
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return applySettings(c) }
	root.PersistentFlags().String("config", "", "file with settings, a line KEY = VALUE for each option that has a value "+
		"(default "+systemConfig+"). REKEYD_ and the option's name, as in REKEYD_STATE, set one in the environment. The "+
		"command line goes before the environment, and that before the file. No setting is a secret")
	root.PersistentFlags().String("state", "", "directory of the hub's state (default "+defaultState()+")")
	root.PersistentFlags().String(
		"passphrase-file",
		"",
		"file that holds the passphrase under which the state is sealed; vault.key is needed beside it, for its salt",
	)
	for _, g := range commands() {
		if len(g.commands) == 0 { // a build without them
			continue
		}
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
	}
	root.AddCommand(manual()...)
	root.SetHelpCommandGroupID(hubCommands)
	return root
}

// group is a part of the help, with its commands.
type group struct {
	title    string
	commands []*cobra.Command
}

// hubCommands is the title of the group that has the help, too.
const hubCommands = "The hub"

// commands are all commands in the groups of the help. Help, completion, man pages, settings and suggestions derive
// from them; a new command needs its file and a place here.
func commands() []group {
	return []group{
		{"Begin here", []*cobra.Command{newRun(), newSetup(), newOpen(), newInstall()}},
		{"The house", []*cobra.Command{
			newStatus(), newDevices(), newWatch(), newBind(), newUnbind(), newRekey(), newProbe(), newRename(), newForget(),
			newImport(), newHistory(),
		}},
		{"The account", []*cobra.Command{
			newRegister(), newActivate(), newLogin(), newForgot(), newReset(), newLeave(), newAccount(),
		}},
		{hubCommands, []*cobra.Command{newDoctor(), newMQTTUser(), newBackup(), newRestore(), newVersion()}},
		{"To try, and for makers", play()},
	}
}
