package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newStatus returns the command that prints the account and the bound devices. It works without a daemon, from the
// store.
func newStatus() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Show the account, the link, and how far every bound device is",
		Args: terminal.Args(cobra.NoArgs),
	}
	asJSON := c.Flags().Bool("json", false, "print one JSON object")
	wide := addWide(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		// `rekeyd devices` also lists devices that cannot be bound.
		s.Devices = slices.DeleteFunc(s.Devices, func(r daemon.Row) bool { return !r.Bound && r.Protocol == "" })
		w := c.OutOrStdout()
		if *asJSON {
			return terminal.PrintJSON(w, s)
		}
		return printStatus(w, terminal.ScreenOf(w), s, *wide)
	}
	return c
}

// addWide adds the option --wide of a command that lists devices.
func addWide(c *cobra.Command) *bool {
	return c.Flags().Bool("wide", false, "also show ID, kind, protocol, owner and address of each device")
}

// printStatus prints the answer to the first question, the account, the link, the troubles, and the devices.
func printStatus(w io.Writer, at terminal.Screen, s daemon.Status, wide bool) error {
	if s.Account == "" {
		fmt.Fprintln(w, "Not signed in. Next,", app.FirstStep)
	} else {
		cloud := ""
		if s.Provider == home.TPLink {
			cloud = " at TP-Link's cloud"
		}
		fmt.Fprintln(w, at.Paint(terminal.Sentence(s), terminal.Bold))
		fmt.Fprintf(w, "Account %s%s, password number %d\n", terminal.Printable(s.Account), cloud, s.Epoch)
	}
	fmt.Fprintf(w, "Hub %s, link %s", s.Hub, s.Link)
	if s.Reason != "" {
		fmt.Fprintf(w, " (%s)", terminal.Printable(s.Reason))
	}
	fmt.Fprintln(w)
	for _, a := range s.Acting {
		fmt.Fprintln(w, terminal.Acting(a.Hub, a.Devices))
	}
	for _, trouble := range s.Troubles {
		fmt.Fprintf(w, "Trouble: %s\n", terminal.Printable(trouble.What))
		if trouble.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", terminal.Printable(trouble.Hint))
		}
	}
	if s.Fingerprint != "" {
		fmt.Fprintf(w, "Certificate of this hub's ports, SHA-256: %s\n", s.Fingerprint)
	}
	fmt.Fprintf(w, "%s\n\n", s.Progress())
	return printDevices(w, at, s, wide)
}

// printDevices prints the devices in their groups, and how to bind those that can be kept, too.
func printDevices(w io.Writer, at terminal.Screen, s daemon.Status, wide bool) error {
	if err := terminal.PrintHouse(w, at, s.Devices, wide); err != nil {
		return err
	}
	if offer := terminal.Offer(s.Devices); offer != "" && s.Account != "" {
		fmt.Fprintln(w, "\n"+offer)
	}
	return nil
}

// newDevices returns the command that prints every device that was found, bound or not.
func newDevices() *cobra.Command {
	c := &cobra.Command{
		Use:   "devices",
		Short: "List every device that was found, bound or not",
		Args:  terminal.Args(cobra.NoArgs),
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	wide := addWide(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), s.Devices)
		}
		if err := printDevices(c.OutOrStdout(), terminal.ScreenOf(c.OutOrStdout()), s, *wide); err != nil {
			return err
		}
		return printListed(c.OutOrStdout(), s)
	}
	return c
}

// printListed prints the differences between the vendor's list of devices and the devices that were seen.
func printListed(w io.Writer, s daemon.Status) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	if len(s.Unseen) > 0 {
		line("\nIn the account, but not seen here:\n")
	}
	for _, d := range s.Unseen {
		state := "offline"
		if d.Online {
			state = "online elsewhere"
		}
		line("  %s  %s  mac %s  %s\n", terminal.Printable(d.Name), terminal.Printable(d.Model), d.MAC, state)
	}
	first := true
	for _, r := range s.Devices {
		if r.Listed == nil || *r.Listed {
			continue
		}
		if first {
			line("\nSeen here, but not in the account:\n")
			first = false
		}
		line("  %s  %s  %s\n", r.ID, terminal.Printable(r.Name), r.Match)
	}
	return err
}

// newHistory returns the command that prints the events of the hub. It works without a daemon, from the store.
func newHistory() *cobra.Command {
	c := &cobra.Command{Use: "history", Short: "Show what happened, newest first", Args: terminal.Args(cobra.NoArgs)}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	limit := c.Flags().Int("limit", 50, "how many lines")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > 10_000 {
			return terminal.Usage(c, fmt.Errorf("limit %d: want 1 to 10000", *limit))
		}
		h := dialHub(stateOf(c))
		events := []home.Event{}
		err := h.call(c.Context(), http.MethodGet, fmt.Sprintf("/v1/history?limit=%d", *limit), nil, &events)
		if errors.Is(err, home.ErrUnavailable) {
			store, oerr := openStored(c, h.state)
			if oerr != nil {
				return cmp.Or(oerr, err)
			}
			defer store.Close()
			events, err = store.History(*limit)
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), events)
		}
		for _, e := range events {
			line := e.At.Local().Format(time.DateTime) + "  " + e.What
			if e.Device != "" {
				line += "  " + string(e.Device)
			}
			if e.Epoch != 0 {
				line += fmt.Sprintf("  (password %d)", e.Epoch)
			}
			if e.Detail != "" {
				line += "  " + e.Detail
			}
			fmt.Fprintln(c.OutOrStdout(), terminal.Printable(line))
		}
		return nil
	}
	return c
}

// newVersion returns the command that prints the version.
func newVersion() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: terminal.Args(cobra.NoArgs)}
	asJSON := c.Flags().Bool("json", false, "print a JSON object")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), map[string]string{"version": version})
		}
		fmt.Fprintln(c.OutOrStdout(), "rekeyd", version)
		return nil
	}
	return c
}

// statusOf returns the status of the running daemon, or the stored one where none runs.
func statusOf(c *cobra.Command) (daemon.Status, error) {
	h := dialHub(stateOf(c))
	var s daemon.Status
	err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s)
	if !errors.Is(err, home.ErrUnavailable) {
		return s, err
	}
	return statusStored(c, h.state)
}
