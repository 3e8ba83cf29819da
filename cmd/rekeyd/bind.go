package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newBind() *cobra.Command {
	c := &cobra.Command{
		Use: "bind [DEVICE…]", Short: "Bind devices to your account, so that they are kept on its newest password",
		Long: `Bind devices to your account. A device is named by its id or its name, as "rekeyd devices"
prints them.

A device without an owner receives your account and its password. Devices of the protocols "iot" and
"smart-aes", and old cameras, receive the password nearly in the clear, or before they have proved that they
are yours: every program on your network can read it. They are moved only if you allow that, once, with
--allow-cleartext-bind; on a terminal you are asked.`,
	}
	cleartext := c.Flags().Bool(
		"allow-cleartext-bind",
		false,
		"allow passwords nearly in the clear on your network, or with =false forbid it again; alone it binds nothing",
	)
	all := c.Flags().Bool("all", false, "every device that is yours or nobody's, except those that you unbound")
	c.Args = terminal.Args(func(c *cobra.Command, names []string) error {
		if *all == (len(names) > 0) && (*all || !c.Flags().Changed("allow-cleartext-bind")) {
			return errors.New("name devices, or give --all")
		}
		return nil
	})
	c.RunE = func(c *cobra.Command, names []string) error {
		said := c.Flags().Changed("allow-cleartext-bind")
		s, err := statusOf(c)
		if err != nil {
			return err
		}
		if s.Account == "" {
			return &home.Error{Op: "bind", Err: home.ErrNoAccount, Hint: "sign in first, with: rekeyd login EMAIL"}
		}
		var ids []home.DeviceID
		if *all {
			for _, r := range s.Devices {
				if !r.Bound && !r.LeftOut && r.Protocol != "" && (r.Match == home.Ours || r.Match == home.Unbound) {
					ids = append(ids, r.ID)
				}
			}
		} else if len(names) > 0 {
			if ids, err = daemon.Named(s.Devices, names); err != nil {
				return err
			}
		}
		if !said && s.CleartextBind == nil && anyCleartext(s.Devices, ids) {
			*cleartext, said = askYes(
				c,
				"Some of them take their password nearly in the clear: whoever is on your network could read it. Allow that?",
			)
		}
		if said {
			if err := allowCleartext(c, *cleartext); err != nil {
				return err
			}
		}
		if len(ids) > 0 {
			if err := order(c, "bind", ids); err != nil {
				return err
			}
		}
		if *all || len(ids) > 0 {
			fmt.Fprintf(c.OutOrStdout(), "%d devices bound\n", len(ids))
		}
		if allowed := s.CleartextBind != nil && *s.CleartextBind || said && *cleartext; !allowed &&
			anyCleartext(s.Devices, ids) {
			fmt.Fprintln(
				c.ErrOrStderr(),
				"hint: those that take passwords only nearly in the clear stay as they are; to allow it: rekeyd bind --allow-cleartext-bind",
			)
		}
		return nil
	}
	return c
}

// anyCleartext reports whether one of the devices receives its password nearly in the clear.
func anyCleartext(rows []daemon.Row, ids []home.DeviceID) bool {
	return slices.ContainsFunc(
		rows,
		func(r daemon.Row) bool { return r.Protocol.Cleartext() && slices.Contains(ids, r.ID) },
	)
}

func allowCleartext(c *cobra.Command, allow bool) error {
	in := struct {
		Allow bool `json:"allow"`
	}{allow}
	if err := dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/cleartext", in, nil); err != nil {
		return err
	}
	word := "are forbidden"
	if allow {
		word = "are allowed"
	}
	fmt.Fprintln(c.OutOrStdout(), "passwords nearly in the clear "+word)
	return nil
}

func newUnbind() *cobra.Command {
	c := &cobra.Command{
		Use:   "unbind DEVICE…",
		Short: "Have the account forget devices; they keep what they hold",
		Args:  terminal.Args(cobra.MinimumNArgs(1)),
	}
	c.RunE = func(c *cobra.Command, names []string) error {
		ids, err := orderNamed(c, "unbind", names)
		if err == nil {
			fmt.Fprintf(c.OutOrStdout(), "%d devices unbound\n", len(ids))
		}
		return err
	}
	return c
}

func newRekey() *cobra.Command {
	c := &cobra.Command{
		Use: "rekey [DEVICE…]", Short: "Look at devices now, all that are not current where none is named, and move those that can be",
		Long: `Look at devices now, whatever pause they are in, all that are not current where none is named,
and move those that can be moved. rekeyd does that by itself; this is for whoever does not want to wait.`,
	}
	dry := c.Flags().Bool("dry-run", false, "say what would be done to each device, and do nothing")
	asJSON := c.Flags().Bool("json", false, "with --dry-run: print a JSON list")
	try := c.Flags().Bool(
		"try",
		false,
		"send the devices that are named commands that they may not accept: TPAP devices have no known one",
	)
	restart := c.Flags().Bool(
		"restart",
		false,
		"restart devices that cannot be moved: some then have the new password from their own cloud",
	)
	c.RunE = func(c *cobra.Command, names []string) error {
		switch {
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
		ids, err := orderNamed(c, what, names)
		if err == nil {
			err = sayCosts(c, ids)
		}
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), "begun; see how far it is with: rekeyd status")
		}
		return err
	}
	return c
}

// sayCosts prints, for each device by name, what an order costs that counts wrong passwords, and locks after too many.
func sayCosts(c *cobra.Command, ids []home.DeviceID) error {
	if len(ids) == 0 {
		return nil
	}
	s, err := statusOf(c)
	if err != nil {
		return err
	}
	for _, r := range s.Devices {
		if slices.Contains(ids, r.ID) && r.Protocol.Info().Ordered {
			const costs = "%s: each password that is tried and wrong costs one of the sign-ins after which it locks (often 10 or 15)\n"
			fmt.Fprintf(c.OutOrStdout(), costs, cmp.Or(r.Name, string(r.ID)))
		}
	}
	return nil
}

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
