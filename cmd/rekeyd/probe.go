package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newProbe returns the command that probes devices now. A probe changes nothing; where the protocol needs a sign-in, it
// counts against the device's budget.
func newProbe() *cobra.Command {
	c := &cobra.Command{
		Use: "probe [DEVICE…]", Short: "Ask devices which password they hold, and change nothing",
		Long: `Ask devices which password each one holds, all that are here where none is named. Nothing is
changed, and no sign-in is spent where the device's protocol can do without.`,
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	c.RunE = func(c *cobra.Command, names []string) error {
		found, err := probed(c, names)
		if err != nil {
			return err
		}
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), found)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		row(t, "DEVICE", "NAME", "KIND", "PROTOCOL", "HOLDS", "WHOSE", "WHAT TO DO")
		for _, p := range found {
			note := p.Detail
			if p.Hint != "" {
				note = p.Hint
			}
			row(t, string(p.ID), p.Name, string(p.Kind), string(p.Protocol), holdsOf(p.Row), string(p.Match), note)
		}
		return t.Flush()
	}
	return c
}

// dryRun prints the changes that `rekeyd rekey` would make.
func dryRun(c *cobra.Command, names []string, asJSON bool) error {
	found, err := probed(c, names)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.PrintJSON(c.OutOrStdout(), found)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	row(t, "DEVICE", "NAME", "HOLDS", "PLAN")
	for _, p := range found {
		row(t, string(p.ID), p.Name, holdsOf(p.Row), p.Plan)
	}
	return t.Flush()
}

// holdsOf returns a verdict in one or two words.
func holdsOf(r daemon.Row) string {
	if r.Epoch != 0 {
		return fmt.Sprintf("%s (%d)", r.Verdict, r.Epoch)
	}
	return string(r.Verdict)
}

// row writes a line of a table.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		cells[i] = terminal.Printable(c)
	}
	_, _ = io.WriteString(w, strings.Join(cells, "\t")+"\n") // Flush returns the error
}

// probed has the daemon probe devices by id or name, all where none is named.
func probed(c *cobra.Command, names []string) ([]daemon.Probed, error) {
	h := dialHub(stateOf(c))
	in := struct {
		Devices []home.DeviceID `json:"devices"`
	}{}
	if len(names) > 0 {
		var s daemon.Status
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s); err != nil {
			return nil, err
		}
		var err error
		if in.Devices, err = daemon.Named(s.Devices, names); err != nil {
			return nil, err
		}
	}
	found := []daemon.Probed{}
	h.http.Timeout = 0 // a probe of many devices takes minutes
	return found, h.call(c.Context(), http.MethodPost, "/v1/probe", in, &found)
}
