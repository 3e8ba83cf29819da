package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// The results of a check.
const (
	fine    = "ok"
	warning = "warning"
	trouble = "trouble"
)

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning or trouble
	What   string `json:"what"`
	Hint   string `json:"hint,omitempty"`
}

// doctor collects findings.
type doctor struct {
	state   string
	status  daemon.Status
	running bool
	found   []finding
}

// newDoctor returns the command that checks this machine, the state, the account and the devices.
func newDoctor() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Check this machine, the state, the account and the devices", Args: terminal.Args(cobra.NoArgs),
		Long: `Check what rekeyd depends on: network interfaces and port 5353, the account service and its broker, mail, the
clock, the disk, the state and who may read it, the sign-ins that devices still accept, and the devices that
need a person. Each is ok, a warning or trouble, with the remedy. It changes nothing. The exit code is 1 where there is
trouble.`,
	}
	asJSON := c.Flags().Bool("json", false, "print a JSON list")
	c.RunE = func(c *cobra.Command, _ []string) error {
		d := &doctor{state: stateOf(c)}
		d.network()
		d.files()
		d.house(c)
		d.account(c.Context())
		return d.print(c, *asJSON)
	}
	return c
}

func (d *doctor) add(check, result, what, hint string) {
	d.found = append(d.found, finding{check, result, what, hint})
}

// err adds err as a finding, or that the check is fine.
func (d *doctor) err(check, result string, err error, whenFine string) {
	if err != nil {
		d.add(check, result, err.Error(), home.HintOf(err))
		return
	}
	d.add(check, fine, whenFine, "")
}

// house checks the store and the devices: through the daemon where it runs, else in the files.
func (d *doctor) house(c *cobra.Command) {
	h := dialHub(d.state)
	err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &d.status)
	d.running = err == nil
	if errors.Is(err, home.ErrUnavailable) {
		d.add("daemon", warning, "it does not run with the state in "+d.state, "start it with: rekeyd run")
		d.stored(c)
		return
	}
	d.err("daemon", trouble, err, "it runs")
	if err != nil {
		return
	}
	for _, t := range d.status.Troubles {
		d.add("daemon", trouble, t.What, t.Hint)
	}
	for _, a := range d.status.Acting {
		d.add("hubs", fine, terminal.Acting(a.Hub, a.Devices), "")
	}
	content, err := contentOf(c, d.state)
	if err == nil {
		err = localstore.CheckCopy(content.Database)
	}
	d.err("store", trouble, err, "every page is sound")
	d.history(func() (events []home.Event, err error) {
		err = h.call(c.Context(), http.MethodGet, "/v1/history?limit=1", nil, &events)
		return events, err
	})
	d.devices()
}

// stored checks the store of a daemon that is stopped.
func (d *doctor) stored(c *cobra.Command) {
	store, err := openStored(c, d.state)
	if err != nil {
		d.err("store", trouble, err, "")
		return
	}
	defer store.Close()
	d.err("store", trouble, store.Check(), "every page and record is sound")
	for _, t := range store.Troubles() {
		d.add("store", trouble, t.What, t.Hint)
	}
	d.history(func() ([]home.Event, error) { return store.History(1) })
	if a, err := store.Account(); err == nil {
		d.status.Account, d.status.Provider, d.status.AccountURL = a.Email, a.Provider, a.URL
	}
	if _, rows, err := daemon.Stored(store); err == nil {
		d.status.Devices = rows
	}
	d.devices()
}

// devices checks the sign-ins that devices accept, and lists the devices that need a person.
func (d *doctor) devices() {
	waits, needs := 0, 0
	for _, r := range d.status.Devices {
		name := r.Name
		if name == "" {
			name = string(r.ID)
		}
		switch {
		case !r.Bound:
		case r.Verdict.Waits():
			waits++
			d.add("sign-in budget", warning, name+" accepts no sign-in now", r.Hint)
		case r.Hint != "":
			needs++
			d.add("device", warning, fmt.Sprintf("%s is %s", name, r.Verdict), r.Hint)
		}
	}
	if waits == 0 {
		d.add("sign-in budget", fine, "every bound device accepts sign-ins", "")
	}
	if needs == 0 {
		d.add("device", fine, "no bound device needs a person", "")
	}
}

// account checks the account service, its broker, and mail.
func (d *doctor) account(ctx context.Context) {
	s := d.status
	switch {
	case s.Account == "":
		d.add("account", warning, "this hub is not signed in", "sign in with: rekeyd login EMAIL")
		return
	case d.running && s.Link == "up":
		d.add("account", fine, "the account service and its broker answer", "")
	case d.running:
		d.add("account", trouble, "the link is down: "+s.Reason, "see that this machine reaches "+s.AccountURL)
	}
	if s.Provider == home.TPLink {
		return
	}
	d.err("service", trouble, reach(ctx, s.AccountURL), "it answers at "+s.AccountURL)
	switch {
	case s.MailFiles:
		d.add("mail", warning, "mails are written to files on this machine", "name a mail server with: rekeyd run --smtp URL")
	case s.Embedded:
		d.add("mail", fine, "mails go to a mail server", "")
	}
}

// print prints the findings. The error has the number of troubles.
func (d *doctor) print(c *cobra.Command, asJSON bool) error {
	troubles := 0
	for _, f := range d.found {
		if f.Result == trouble {
			troubles++
		}
		if asJSON {
			continue
		}
		fmt.Fprintf(c.OutOrStdout(), "%-8s %-15s %s\n", f.Result, f.Check, terminal.Printable(f.What))
		if f.Hint != "" {
			fmt.Fprintf(c.OutOrStdout(), "%-8s %-15s hint: %s\n", "", "", terminal.Printable(f.Hint))
		}
	}
	if asJSON {
		if err := terminal.PrintJSON(c.OutOrStdout(), d.found); err != nil {
			return err
		}
	}
	if troubles > 0 {
		return fmt.Errorf("doctor: %d checks found trouble", troubles)
	}
	return nil
}
