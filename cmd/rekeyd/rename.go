package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
)

// newRename returns the command that gives a bound device another name.
func newRename() *cobra.Command {
	c := &cobra.Command{
		Use: "rename DEVICE NAME", Short: "Give a bound device a name of your choice",
		Args: terminal.Args(cobra.ExactArgs(2)),
		Long: `Give a bound device a name of your choice. It stands in the place of the device's
own name in this hub's lists, pages and states, until the device is unbound. An
empty name ("") takes it back.`,
		ValidArgsFunction: completeDevices,
	}
	c.RunE = func(c *cobra.Command, as []string) error {
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		ids, err := daemon.Named(s.Devices, as[:1])
		if err != nil {
			return err
		}
		in := map[string]string{"device": string(ids[0]), "name": as[1]}
		if err := dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/rename", in, nil); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "renamed")
		return nil
	}
	return c
}

// newForget returns the command that removes devices that are gone from the list.
func newForget() *cobra.Command {
	c := &cobra.Command{
		Use: "forget DEVICE…", Short: "Remove devices that are gone from the list",
		Args: terminal.Args(cobra.MinimumNArgs(1)), ValidArgsFunction: completeDevices,
		Long: `Remove devices that are gone from the list. A bound one is unbound, and not left
out as with unbind: should it come back, it is found anew. A device that is here
would be listed again at once, and is refused.`,
	}
	c.RunE = func(c *cobra.Command, names []string) error {
		ids, err := orderNamed(c, "forget", names)
		if err == nil {
			fmt.Fprintf(c.OutOrStdout(), "%s forgotten\n", devicesIn(len(ids)))
		}
		return err
	}
	return c
}

// completeDevices offers the names of the devices for completion in a shell.
func completeDevices(c *cobra.Command, before []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	s, err := statusOf(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]cobra.Completion, 0, len(s.Devices))
	for _, r := range s.Devices {
		names = append(names, cobra.CompletionWithDesc(r.Label(), terminal.State(r)))
	}
	if c.Name() == "rename" && len(before) > 0 {
		names = nil
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// devicesIn is a number of devices, for people.
func devicesIn(n int) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}
