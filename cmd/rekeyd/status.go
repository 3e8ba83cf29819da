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
		if s.Account == "" {
			fmt.Fprintln(w, "Not signed in. Next,", app.FirstStep)
		} else {
			at := ""
			if s.Provider == home.TPLink {
				at = " at TP-Link's cloud"
			}
			fmt.Fprintf(w, "Account %s%s, password number %d\n", terminal.Printable(s.Account), at, s.Epoch)
		}
		fmt.Fprintf(w, "Hub %s, link %s", s.Hub, s.Link)
		if s.Reason != "" {
			fmt.Fprintf(w, " (%s)", s.Reason)
		}
		fmt.Fprintln(w)
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
		return terminal.PrintRows(w, s.Devices)
	}
	return c
}

// newDevices returns the command that prints every device that was found, bound or not.
func newDevices() *cobra.Command {
	c := &cobra.Command{
		Use:   "devices",
		Short: "List every device that was found, bound or not",
		Args:  terminal.Args(cobra.NoArgs),
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), s.Devices)
		}
		if err := terminal.PrintRows(c.OutOrStdout(), s.Devices); err != nil {
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
