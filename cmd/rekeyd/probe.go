package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newProbe returns the command that probes devices now. A probe changes nothing; where the protocol needs a sign-in, it
// counts against the device's budget.
func newProbe() *cobra.Command {
	c := &cobra.Command{
		ValidArgsFunction: completeDevices,
		Use:               "probe [DEVICE…]", Short: "Ask devices which password they hold, and change nothing",
		Long: `Ask devices which password each one holds, all that are here where none is named. Nothing is
changed, and no sign-in is spent where the device's protocol can do without.`,
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	wide := addWide(c)
	c.RunE = func(c *cobra.Command, names []string) error {
		found, err := probed(c, names)
		if err != nil {
			return err
		}
		if *asJSON {
			return terminal.PrintJSON(c.OutOrStdout(), found)
		}
		rows := make([]daemon.Row, len(found))
		for i, p := range found {
			rows[i] = p.Row
		}
		return terminal.PrintHouse(c.OutOrStdout(), terminal.ScreenOf(c.OutOrStdout()), rows, *wide)
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
	t := terminal.Table{Headers: []string{"NAME", "STATE", "PLAN"}}
	for _, p := range found {
		t.Lines = append(t.Lines, terminal.Line{Cells: []string{p.Label(), terminal.State(p.Row), p.Plan}})
	}
	return t.Print(c.OutOrStdout(), terminal.ScreenOf(c.OutOrStdout()))
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
	h.http.Timeout = 0 // a probe of many devices takes minutes
	bar := terminal.NewProgress(c.ErrOrStderr(), "Asking devices")
	defer bar.End()
	found := []daemon.Probed{}
	err := h.do(c.Context(), http.MethodPost, "/v1/probe", in, func(body io.Reader) error {
		for lines := json.NewDecoder(body); ; {
			var p daemon.Probing
			switch err := lines.Decode(&p); {
			case err != nil:
				return errors.New("the daemon ended before the probe did, or is of another version")
			case p.Refusal != nil:
				return refused(*p.Refusal)
			case p.End:
				found = append(found, p.Found...)
				return nil
			}
			bar.Set(p.Done, p.Of)
		}
	})
	return found, err
}
