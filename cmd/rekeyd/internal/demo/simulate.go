package demo

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// newSimulate makes the command simulate: a house for the tests of other programs, which read its lines of JSON.
func newSimulate() *cobra.Command {
	c := &cobra.Command{
		Use: "simulate", Short: "Run a house of simulated devices, to test against", Args: terminal.Args(cobra.NoArgs),
		Long: `Run a house of simulated devices, each at an address of its own in 127.0.0.0/8 and on its
protocol's true port, until it is stopped. It prints one line of JSON for each device: id, kind, protocol, addr, port,
username, password.`,
		Example: `  rekeyd simulate --count plug:iot=3,bulb:iot=2 --username anna@example.org --password 'a long password'
  rekeyd simulate --house house.json`,
	}
	f := c.Flags()
	count := f.String(
		"count", "", "what devices: KIND:PROTOCOL=N,… as in plug:iot=3,camera:tapocam=1; README.md lists the protocols",
	)
	username := f.String("username", "", "the account that the devices of --count are bound to, from the start")
	password := f.String("password", "", "and its password")
	house := f.String(
		"house", "", "file that lists the devices, and the credential that each holds, as JSON; see README.md",
	)
	c.RunE = func(c *cobra.Command, _ []string) error {
		specs, err := simulated(*count, *house, *username, *password)
		if err != nil {
			return terminal.Usage(c, err)
		}
		log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		h, err := sim.New(sim.Options{Announce: true, Log: log}, specs)
		if err != nil {
			return err
		}
		for _, d := range h.Devices() {
			if _, err := c.OutOrStdout().Write(append(d.Line(), '\n')); err != nil {
				return errors.Join(err, h.Close())
			}
		}
		return h.Run(c.Context())
	}
	return c
}

// simulated returns the devices that the command line asks for.
func simulated(count, house, username, password string) ([]sim.Spec, error) {
	switch {
	case (count == "") == (house == ""):
		return nil, errors.New("name the devices, with --count or with --house")
	case house != "" && (username != "" || password != ""):
		return nil, errors.New("--username and --password go with --count: a house file has them for each device")
	case house != "":
		f, err := os.Open(house)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return sim.ReadHouse(f)
	}
	specs, err := sim.ParseCount(count)
	for i := range specs {
		if specs[i].Protocol != home.Native { // such a device holds no password: it joins an account
			specs[i].Username, specs[i].Password = username, home.NewSecret(password)
		}
	}
	return specs, err
}
