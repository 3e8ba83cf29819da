//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/native/check"
)

// newCheckDevice returns the command with which makers check a device that speaks the link.
func newCheckDevice() *cobra.Command {
	c := &cobra.Command{
		Use: "check-device ADDR", Short: "For makers: check the endpoint of a device that speaks the link",
		Long: `Play a hub for a device that speaks the link, and report for each rule of cloudlink/PROTOCOL.md that shows
at its endpoint whether the device keeps it. ADDR is its host and port. The device must be in the factory's state; it
joins no account. Its name is the one that it announces by DNS-SD, or the one of --id. Exit code 1 where a rule is
broken.`,
		Args: terminal.Args(cobra.ExactArgs(1)),
	}
	id := c.Flags().String("id", "", "name of the device, as in the TXT record id of its announcement")
	iface := c.Flags().StringSlice("interface", nil, "network interface to look for the announcement on")
	c.RunE = func(c *cobra.Command, args []string) error {
		addr, err := netip.ParseAddrPort(args[0])
		if err != nil {
			return terminal.Usage(c, fmt.Errorf("%s: want an address and a port, as in 192.168.1.7:7356", args[0]))
		}
		if *id == "" {
			if *id, err = announcedName(c.Context(), addr, *iface); err != nil {
				return err
			}
		}
		results, err := check.Run(c.Context(), addr.String(), *id)
		broken := 0
		for _, r := range results {
			if r.Err == nil {
				fmt.Fprintf(c.OutOrStdout(), "pass  %s\n", r.Rule)
				continue
			}
			broken++
			fmt.Fprintf(c.OutOrStdout(), "FAIL  %s (section %q):\n      %v\n", r.Rule, r.Section, r.Err)
		}
		if err == nil && broken > 0 {
			err = fmt.Errorf("check %s: %d of %d rules are broken", *id, broken, len(results))
		}
		return err
	}
	return c
}

// announceTime is how long an announcement is waited for.
const announceTime = 20 * time.Second

// announcedName returns the name that the device at addr announces.
func announcedName(ctx context.Context, addr netip.AddrPort, interfaces []string) (string, error) {
	d, err := discover.New(discover.Options{Interfaces: interfaces, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	looking, stop := context.WithTimeout(ctx, announceTime)
	defer stop()
	name := ""
	err = d.Run(looking, func(all []home.Sighting) {
		for _, s := range all {
			for _, k := range s.Keys {
				if s.Protocol == home.Native && s.Addr == addr && strings.HasPrefix(k, "rk:") {
					name = strings.TrimPrefix(k, "rk:")
					stop()
				}
			}
		}
	})
	switch {
	case name != "":
		return name, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	return "", &home.Error{
		Op: "check " + addr.String(), Err: errors.Join(errors.New("no device announces _rekeyd._tcp with this address"), err),
		Hint: "announce it by DNS-SD, or give its name with --id",
	}
}
