package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newBind() *cobra.Command {
	c := &cobra.Command{
		Use: "bind [DEVICE…]", Short: "Bind devices to your account, so that they are kept on its newest password",
		Long: `Bind devices to your account. A device is named by its id or its name, as "rekeyd devices" prints them.

A device that belongs to nobody is given your account and its password. Kasa devices of the "iot" protocol take
the password nearly in the clear over your network: by binding one you agree to that.`,
	}
	all := c.Flags().Bool("all", false, "every device that is yours or nobody's")
	c.RunE = func(c *cobra.Command, names []string) error {
		if *all == (len(names) > 0) {
			return usage(c, errors.New("name devices, or say --all"))
		}
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
				if !r.Bound && r.Protocol != "" && (r.Match == home.Ours || r.Match == home.Unbound) {
					ids = append(ids, r.ID)
				}
			}
		} else if ids, err = named(s.Devices, names); err != nil {
			return err
		}
		if len(ids) > 0 || !*all {
			if err := order(c, "bind", ids); err != nil {
				return err
			}
		}
		fmt.Fprintf(c.OutOrStdout(), "%d devices bound\n", len(ids))
		return nil
	}
	return c
}

func newUnbind() *cobra.Command {
	c := &cobra.Command{Use: "unbind DEVICE…", Short: "Have the account forget devices; they keep what they hold", Args: args(cobra.MinimumNArgs(1))}
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
	c := &cobra.Command{Use: "rekey [DEVICE…]", Short: "Look at devices now, all that are not current where none is named"}
	c.RunE = func(c *cobra.Command, names []string) error {
		_, err := orderNamed(c, "rekey", names)
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), "begun; see how far it is with: rekeyd status")
		}
		return err
	}
	return c
}

func orderNamed(c *cobra.Command, what string, names []string) ([]home.DeviceID, error) {
	var ids []home.DeviceID
	if len(names) > 0 {
		s, err := statusOf(c)
		if err != nil {
			return nil, err
		}
		if ids, err = named(s.Devices, names); err != nil {
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

// named finds devices by id or, where it is the name of one device only, by name.
func named(rows []daemon.Row, names []string) ([]home.DeviceID, error) {
	var ids []home.DeviceID
	for _, n := range names {
		var found []home.DeviceID
		for _, r := range rows {
			if string(r.ID) == n {
				found = []home.DeviceID{r.ID}
				break
			}
			if strings.EqualFold(r.Name, n) {
				found = append(found, r.ID)
			}
		}
		switch len(found) {
		case 0:
			return nil, &home.Error{Op: "find " + n, Err: home.ErrNotFound, Hint: "see which devices were found with: rekeyd devices"}
		case 1:
			ids = append(ids, found[0])
		default:
			return nil, &home.Error{Op: "find " + n, Err: fmt.Errorf("%d devices have that name: %w", len(found), home.ErrNotFound), Hint: "name it by its id; see: rekeyd devices"}
		}
	}
	return ids, nil
}
