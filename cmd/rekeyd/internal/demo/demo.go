// Package demo has the commands that simulate a house: the demo, which plays a whole reset, and the simulator.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Commands returns the commands of this package.
func Commands() []*cobra.Command { return []*cobra.Command{newDemo(), newSimulate()} }

// newDemo makes the command demo. Its exit code is the result of the whole reset, so that CI can run it.
func newDemo() *cobra.Command {
	c := &cobra.Command{
		Use: "demo", Short: "Show a whole reset on this machine alone, with a simulated house",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Show the main job, on this machine alone. A house of simulated devices is announced on the
loopback interface; an account is registered, and its password changed once, which some devices missed. The
house is found and bound, the password is forgotten and reset through a door, and every device is moved to the
new one and signed in again, one of them late: it was switched off. Beside them stand a neighbour's device,
which is left alone, and four that only their own app can move, two of them cameras of the NC class, which
hold a password of TP-Link's cloud. The exit code is 0 only if every device of the account was seen to be
current.`,
	}
	f := c.Flags()
	o := demoOptions{}
	door := f.String("door", "kasa", "through which door the password is reset: kasa, tpcamera or web")
	f.IntVar(&o.devices, "devices", 14, "how many devices the house has")
	f.BoolVar(&o.json, "json", false, "print one JSON object at the end, and all else on standard error")
	f.BoolVar(&o.keep, "keep", false, "leave everything running afterwards, with its pages, until interrupted")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what happens inside")
	f.DurationVar(&o.patience, "timeout", 2*time.Minute, "give up after this time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if o.door, err = app.DoorNamed(*door); err != nil {
			return terminal.Usage(c, err)
		}
		if o.devices < 4 || o.devices > 5000 {
			return terminal.Usage(c, fmt.Errorf("%d devices: want 4 to 5000", o.devices))
		}
		o.out, o.errs = c.OutOrStdout(), c.ErrOrStderr()
		return play(c.Context(), o)
	}
	return c
}

// demoOptions are the flags of demo.
type demoOptions struct {
	door                app.Door
	devices             int
	json, keep, verbose bool
	patience            time.Duration
	out, errs           io.Writer
}

// demoResult is what --json prints.
type demoResult struct {
	Door       string                  `json:"door"`
	Epoch      home.Epoch              `json:"epoch"`
	Devices    int                     `json:"devices"`
	Current    int                     `json:"current"`
	Stale      int                     `json:"stale"`
	Failed     int                     `json:"failed"`
	Discovered int64                   `json:"discovered_ms"`
	Rekeyed    int64                   `json:"rekeyed_ms"`
	ByKind     map[home.Kind]kindCount `json:"by_kind"`
	LeftAlone  []leftAlone             `json:"left_alone"`
}

// leftAlone is a device that is none of the account's, or that only its own app can move.
type leftAlone struct {
	Name     string        `json:"name"`
	Protocol home.Protocol `json:"protocol"`
	Verdict  home.State    `json:"verdict"`
	Hint     string        `json:"hint"`
}

// kindCount counts the devices of one kind.
type kindCount struct {
	Devices int `json:"devices"`
	Current int `json:"current"`
}

const demoEmail = "anna@example.org"

// play plays the demo, from the registration to the last device.
func play(ctx context.Context, o demoOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d, err := newStage(o)
	if err != nil {
		return err
	}
	defer d.leave(stop)
	limited, done := context.WithTimeout(ctx, o.patience)
	defer done()
	result, err := d.play(ctx, limited)
	if o.json && result.Devices > 0 { // also after a failure
		if err := terminal.PrintJSON(o.out, result); err != nil {
			return err
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return &home.Error{Op: "demo", Err: errors.New("it was ended before it was done")}
	case err != nil && limited.Err() != nil:
		return &home.Error{
			Op:   "demo",
			Err:  fmt.Errorf("not done within %v: %v", o.patience, err),
			Hint: "give a slow machine more time with --timeout, and see why with --verbose",
		}
	case err != nil:
		return err
	}
	if o.keep {
		d.print("Everything stays up until you press Ctrl-C:")
		d.print("  the house    %s", d.hub.PageURL())
		d.print("  the account  %s  (%s)", d.service.URL(), demoEmail)
		<-ctx.Done()
	}
	if result.Current != result.Devices {
		return &home.Error{
			Op:   "demo",
			Err:  fmt.Errorf("%d of %d devices are not current", result.Devices-result.Current, result.Devices),
			Hint: "see why with --verbose",
		}
	}
	return nil
}
