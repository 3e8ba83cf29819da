package main

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/broker"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newMQTTUser returns the commands for the users of the embedded broker who may read the house.
func newMQTTUser() *cobra.Command {
	c := &cobra.Command{
		Use: "mqtt-user", Short: "Choose who may read the house at the embedded MQTT broker",
		Long: `Choose who may read the house at the embedded MQTT broker, such as Home Assistant. A user sees the states of
this house and may order devices to be rekeyed; nothing of the account link. The daemon has to publish the house there:
rekeyd run --home-assistant, and with --broker-listen on an address that the user's machine reaches. A change counts at
once, also while the daemon runs.`,
		Args: terminal.Args(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newMQTTUserAdd(), newMQTTUserList(), newMQTTUserRemove())
	return c
}

func newMQTTUserAdd() *cobra.Command {
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a user, or give one another password",
		Long: `Add a user, or give one another password. The password is made here and shown once, unless you give your own
with --password-stdin. The daemon keeps a hash of it.`,
		Args: terminal.Args(cobra.ExactArgs(1)),
	}
	stdin := c.Flags().Bool("password-stdin", false, "read the password from standard input")
	c.RunE = func(c *cobra.Command, args []string) error {
		name, password := args[0], home.NewSecret(rand.Text())
		if err := broker.CheckUserName(name); err != nil {
			return terminal.Usage(c, err)
		}
		if *stdin {
			line, err := newLines(c.InOrStdin()).next()
			if err != nil {
				return err
			}
			if password = home.NewSecret(line); len(line) < broker.MinUserPassword {
				return &home.Error{
					Op: "add " + name, Err: errors.New("the password is too short"),
					Hint: fmt.Sprintf("choose one of %d characters or more", broker.MinUserPassword),
				}
			}
		}
		if err := mqttUsers(c).Add(c.Context(), name, password); err != nil {
			return mqttUserError("add "+name, err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s may read the house at the embedded broker.\n", name)
		if !*stdin {
			fmt.Fprintf(c.OutOrStdout(), "Password, shown this once: %s\n", password.Reveal())
		}
		return nil
	}
	return c
}

func newMQTTUserList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: terminal.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			names, err := mqttUsers(c).Names()
			for _, name := range names {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
			return mqttUserError("list the users", err)
		},
	}
}

func newMQTTUserRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a user", Args: terminal.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := mqttUsers(c).Remove(args[0]); err != nil {
				return mqttUserError("remove "+args[0], err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is no user any more.\n", args[0])
			return nil
		},
	}
}

func mqttUsers(c *cobra.Command) *broker.UserFile {
	return app.MQTTUsers(stateOf(c), account.NewHasher(account.DefaultPolicy()))
}

// mqttUserError adds a hint.
func mqttUserError(op string, err error) error {
	switch {
	case err == nil, home.HintOf(err) != "":
		return err
	case errors.Is(err, home.ErrNotFound):
		return &home.Error{Op: op, Err: err, Hint: "see the users with: rekeyd mqtt-user list"}
	}
	return &home.Error{Op: op, Err: err, Hint: "run it as the daemon's user or as root, with the daemon's --state"}
}
