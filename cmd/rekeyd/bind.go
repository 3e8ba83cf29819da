package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newBind returns the command that binds devices and records the owner's consents. Binding sends no password: the
// engine moves devices later, as the rule of daemon/DESIGN.md, section 6, allows.
func newBind() *cobra.Command {
	c := &cobra.Command{
		ValidArgsFunction: completeDevices,
		Use:               "bind DEVICE…", Short: "Bind devices: they are kept on your account's newest password",
		Long: `Bind devices to your account. A device is named by its id or its name, as "rekeyd devices"
prints them. Binding itself sends no password.

A device that proves that it holds a password of yours is moved to the newest one. A device that was reset, or
never had an owner, can prove nothing: it receives your password only because you named it, within 24 hours.

With --all --later, a device that is switched on later is bound by itself where it proves a password of yours, in a
protocol in which a device proves itself first. Whoever knows an old password of yours could play such a device and
receive the new one: after you reported that somebody may know it, such devices wait for you.

Devices of the protocols "iot" and "smart-aes", and old cameras, receive the password nearly in the clear: every
program on your network can read it, and whoever takes the address of such a device receives it. They are moved only if
you allow that, with --allow-cleartext-bind or on a terminal, and you are asked again when they have a new address.

Cameras of the NC class ("nc") also have a password of their own, that of their web page. Give it with
--device-password: it is asked for, or read with --password-stdin, kept sealed with the binding, and sent only as the
account's password is. --factory-password gives the one with which such a camera leaves the factory.`,
	}
	own := addDevicePassword(c)
	cleartext := c.Flags().Bool(
		"allow-cleartext-bind",
		false,
		"allow these devices passwords nearly in the clear on your network, or with =false forbid it again",
	)
	all := c.Flags().Bool(
		"all", false, "every device that proves a password of yours, and after a question those that name your account",
	)
	later := c.Flags().Bool(
		"later",
		false,
		"with --all: and from now on every device that proves a password of yours, also when it is switched on later",
	)
	yes := c.Flags().Bool("yes", false, "with --all: answer that question with yes")
	c.Args = terminal.Args(func(_ *cobra.Command, names []string) error {
		switch {
		case c.Flags().Changed("later") && !*later && !*all && len(names) == 0: // it ends the order
		case *later && !*all:
			return errors.New("--later goes with --all")
		case *all == (len(names) > 0):
			return errors.New("name devices, or give --all")
		case own.given() && len(names) != 1:
			return errors.New("--device-password and --factory-password go with one device")
		case own.both():
			return errors.New("give --device-password or --factory-password, not both")
		case c.Flags().Changed("password-stdin") && !*own.ask:
			return errors.New("--password-stdin goes with --device-password")
		case *yes && !*all:
			return errors.New("--yes goes with --all")
		}
		return nil
	})
	c.RunE = func(c *cobra.Command, names []string) error {
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		if s.Account == "" {
			return &home.Error{Op: "bind", Err: home.ErrNoAccount, Hint: "sign in first, with: rekeyd login EMAIL"}
		}
		if c.Flags().Changed("later") {
			if err := orderLater(c, *later); err != nil || !*all {
				return err
			}
		}
		what, ids := "bind", []home.DeviceID(nil)
		if *all {
			what, ids = "bind-ours", ours(c, s.Devices, *yes)
		} else if ids, err = daemon.Named(s.Devices, names); err != nil {
			return err
		}
		password, err := own.read(c, names)
		if err != nil {
			return err
		}
		weak := slices.DeleteFunc(slices.Clone(s.Devices), func(r daemon.Row) bool {
			return !r.Consent || !slices.Contains(ids, r.ID) && !(*all && r.Bound)
		})
		answered := c.Flags().Changed("allow-cleartext-bind")
		if !answered && len(weak) > 0 {
			*cleartext, answered = askYes(c, fmt.Sprintf(
				"%s: a password for it crosses your network nearly in the clear, and goes to whoever has its address. Allow that?",
				strings.Join(listed(weak), ", "),
			))
		}
		if len(ids) > 0 {
			if err := order(c, what, ids); err != nil {
				return err
			}
		}
		fmt.Fprintf(c.OutOrStdout(), "%s bound\n", devicesIn(len(ids)))
		if !password.IsZero() {
			if err := giveDevicePassword(c, ids[0], password); err != nil {
				return err
			}
		}
		switch {
		case answered && *cleartext:
			return order(c, "allow-cleartext", idsOf(weak))
		case answered && *all:
			return order(c, "forbid-cleartext", idsOf(slices.DeleteFunc(s.Devices, func(r daemon.Row) bool { return !r.Bound })))
		case answered:
			return order(c, "forbid-cleartext", ids)
		case len(weak) > 0:
			fmt.Fprintln(c.ErrOrStderr(), "hint: some take a password only nearly in the clear, and stay as they are; "+
				"to allow it: "+
				"rekeyd bind --allow-cleartext-bind "+strings.Join(inCommand(weak), " "))
		}
		return nil
	}
	return c
}

// orderLater has devices bound by themselves as soon as they prove a password of the account, or ends that.
func orderLater(c *cobra.Command, on bool) error {
	in := struct {
		On bool `json:"on"`
	}{on}
	if err := dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/bind-later", in, nil); err != nil {
		return err
	}
	if on {
		fmt.Fprintln(c.OutOrStdout(), "from now on a device that proves a password of yours is bound by itself; "+
			"to end that: rekeyd bind --later=false")
	} else {
		fmt.Fprintln(c.OutOrStdout(), "devices are bound by your order only")
	}
	return nil
}

// ours returns the unbound devices that proved a password of the account, and those that only name it where the owner
// confirms these. It lists on standard error which others have to be named one by one.
func ours(c *cobra.Command, rows []daemon.Row, confirmed bool) []home.DeviceID {
	var proved, claimed, others []daemon.Row
	for _, r := range rows {
		switch {
		case r.Bound || r.LeftOut || r.Protocol == "":
		case r.Proved:
			proved = append(proved, r)
		case r.Match == home.Ours:
			claimed = append(claimed, r)
		case r.Match == home.Unbound:
			others = append(others, r)
		}
	}
	if len(claimed) > 0 && !confirmed {
		confirmed, _ = askYes(c, fmt.Sprintf(
			"%s: it names your account, which anyone on your network can do, and has proved nothing. Is it yours?",
			strings.Join(listed(claimed), ", "),
		))
	}
	if confirmed {
		proved = append(proved, claimed...)
	} else {
		others = append(others, claimed...)
	}
	if len(others) > 0 {
		fmt.Fprintln(c.ErrOrStderr(), "hint: not bound, because it has proved no password of yours; "+
			"bind your own devices by name: "+
			"rekeyd bind "+strings.Join(inCommand(others), " "))
	}
	return idsOf(proved)
}

func idsOf(rows []daemon.Row) []home.DeviceID {
	ids := make([]home.DeviceID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

// listed returns the names of devices as a list for people.
func listed(rows []daemon.Row) []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = cmp.Or(r.Name, string(r.ID))
	}
	return names
}

// inCommand returns names for a command line: a device's ID where another device has the same name.
func inCommand(rows []daemon.Row) []string {
	names := listed(rows)
	for i, r := range rows {
		if _, err := daemon.Named(rows, names[i:i+1]); err != nil {
			names[i] = string(r.ID)
		}
		names[i] = home.InCommand(names[i])
	}
	return names
}

// newUnbind returns the command that removes bindings, with their consents. bind --all leaves such devices out.
func newUnbind() *cobra.Command {
	c := &cobra.Command{
		Use:   "unbind DEVICE…",
		Short: "Have the account forget devices; they keep what they hold",
		Long: `Have the account forget devices. They keep the password that they hold, and are
left out of  rekeyd bind --all  until they are bound by name.`,
		ValidArgsFunction: completeDevices,
	}
	all := c.Flags().Bool("all", false, "every device, after a question")
	yes := c.Flags().Bool("yes", false, "with --all: answer that question with yes")
	c.Args = terminal.Args(func(_ *cobra.Command, names []string) error {
		switch {
		case *all == (len(names) > 0):
			return errors.New("name devices, or give --all")
		case *yes && !*all:
			return errors.New("--yes goes with --all")
		}
		return nil
	})
	c.RunE = func(c *cobra.Command, names []string) error {
		if *all {
			return unbindAll(c, *yes)
		}
		ids, err := orderNamed(c, "unbind", names)
		if err == nil {
			fmt.Fprintf(c.OutOrStdout(), "%s unbound\n", devicesIn(len(ids)))
		}
		return err
	}
	return c
}

// unbindAll unbinds every device once the owner has confirmed it.
func unbindAll(c *cobra.Command, confirmed bool) error {
	s, err := statusOf(c)
	if err != nil {
		return err
	}
	bound := slices.DeleteFunc(s.Devices, func(r daemon.Row) bool { return !r.Bound })
	if len(bound) > 0 && !confirmed {
		question := "Unbind " + counted(len(bound), "device") + "? rekeyd then keeps none of them signed in."
		if agreed, err := confirm(c, question); err != nil || !agreed {
			return err
		}
	}
	if len(bound) > 0 {
		err = order(c, "unbind", idsOf(bound))
	}
	if err == nil {
		fmt.Fprintf(c.OutOrStdout(), "%s unbound\n", devicesIn(len(bound)))
	}
	return err
}

// counted returns a number of things: "1 device", "2 devices".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprint(n, " ", thing, "s")
}

// newRekey returns the command that has the engine probe and move devices now.
func newRekey() *cobra.Command {
	c := &cobra.Command{
		Use: "rekey [DEVICE…]", ValidArgsFunction: completeDevices,
		Short: "Look at devices now, and move those that can be moved",
		Long: `Look at devices now, whatever pause they are in, all that are not current where none is named,
and move those that can be moved. rekeyd does that by itself; this command does it at once.

After you reported that somebody else may know your old password, a device that proves an old one waits: whoever knows
that password and takes the device's address would receive the new one. Name the devices that are safe, or give --all.`,
	}
	all := c.Flags().Bool("all", false, "also the devices that wait because somebody else may know what they hold")
	dry := c.Flags().Bool("dry-run", false, "show what would be done to each device, and do nothing")
	asJSON := c.Flags().Bool("json", false, "with --dry-run: print a JSON list")
	try := c.Flags().Bool(
		"try",
		false,
		"send the devices that are named commands that they may not accept: TPAP devices have no known one",
	)
	restart := c.Flags().Bool(
		"restart", false, "restart devices that cannot be moved: some then have the new password from their own cloud",
	)
	c.RunE = func(c *cobra.Command, names []string) error {
		switch {
		case *all && (*try || *dry || *restart || len(names) > 0):
			return terminal.Usage(c, errors.New("--all goes with no other option and with no names"))
		case *try && (*dry || *restart):
			return terminal.Usage(c, errors.New("--try goes with neither --dry-run nor --restart"))
		case *try && len(names) == 0:
			return terminal.Usage(c, errors.New("--try wants each device by its name"))
		case *dry && *restart:
			return terminal.Usage(c, errors.New("--dry-run changes nothing, and --restart does"))
		case *asJSON && !*dry:
			return terminal.Usage(c, errors.New("--json goes with --dry-run"))
		case *dry:
			return dryRun(c, names, *asJSON)
		}
		what := "rekey"
		if *restart {
			what = "restart"
		}
		if *try {
			what = "try"
		}
		if len(names) == 0 && !*restart && !*all {
			s, err := statusOf(c)
			if err != nil {
				return err
			}
			*all, names = askHeld(c, s)
		}
		if *all {
			what = "rekey-all"
		}
		ids, err := orderNamed(c, what, names)
		if err == nil {
			err = printCosts(c, ids)
		}
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), "begun; see how far it is with: rekeyd status")
		}
		return err
	}
	return c
}

// printCosts prints a warning for each device that counts wrong passwords and locks after too many.
func printCosts(c *cobra.Command, ids []home.DeviceID) error {
	if len(ids) == 0 {
		return nil
	}
	s, err := statusOf(c)
	if err != nil {
		return err
	}
	for _, r := range s.Devices {
		if slices.Contains(ids, r.ID) && r.Protocol.Info().Ordered {
			const costs = "%s: each password that is tried and wrong costs one of the sign-ins after which it locks " +
				"(often 10 or 15)\n"
			fmt.Fprintf(c.OutOrStdout(), costs, cmp.Or(r.Name, string(r.ID)))
		}
	}
	return nil
}

// orderNamed gives an order for the named devices, or for all that it concerns without a name. A name must be that of
// exactly one device.
func orderNamed(c *cobra.Command, what string, names []string) ([]home.DeviceID, error) {
	var ids []home.DeviceID
	if len(names) > 0 {
		s, err := statusOf(c)
		if err != nil {
			return nil, err
		}
		if ids, err = daemon.Named(s.Devices, names); err != nil {
			return nil, err
		}
	}
	return ids, order(c, what, ids)
}

func order(c *cobra.Command, what string, ids []home.DeviceID) error {
	in := struct {
		Devices []home.DeviceID `json:"devices"`
	}{ids}
	return dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/"+what, in, nil)
}
