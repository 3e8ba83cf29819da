package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// askHeld lists the devices that wait because somebody else may know what they hold, and asks at the terminal which of
// them are to be moved: all, those of some names, or none. None is the default, and the answer where there is no
// terminal: a hint then has the commands.
func askHeld(c *cobra.Command, s daemon.Status) (all bool, names []string) {
	held := slices.DeleteFunc(slices.Clone(s.Devices), func(r daemon.Row) bool { return !r.Held })
	if len(held) == 0 {
		return false, nil
	}
	line, _ := askLine(c, fmt.Sprintf(
		"Somebody else may know the password that these devices hold,\nand could answer in their place: %s.\n"+
			"Move which of them: all, none, or only these (names, separated by commas)? [none]",
		strings.Join(listed(held), ", "),
	))
	switch strings.ToLower(line) {
	case "all":
		return true, nil
	case "", "none":
		fmt.Fprintln(c.ErrOrStderr(), "hint: these wait, because somebody else may know what they hold; "+
			"to move those that are safe: "+
			"rekeyd rekey "+strings.Join(inCommand(held), " ")+"; to move all: rekeyd rekey --all")
		return false, nil
	}
	for name := range strings.SplitSeq(line, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return false, names
}

// orderHeld asks which of the devices that wait are to be moved, and orders it.
func orderHeld(c *cobra.Command, s daemon.Status) error {
	all, names := askHeld(c, s)
	switch {
	case all:
		return order(c, "rekey-all", nil)
	case len(names) > 0:
		_, err := orderNamed(c, "rekey", names)
		return err
	}
	return nil
}

// newPasswordTime is how long a hub is given to receive the new password.
const newPasswordTime = 15 * time.Second

// orderHeldAfter is orderHeld once the hub on this machine has received an epoch after the given one.
func orderHeldAfter(c *cobra.Command, before home.Epoch) error {
	for end := time.Now().Add(newPasswordTime); ; {
		s, err := statusOf(c)
		switch {
		case err != nil:
			return err
		case s.Epoch > before:
			return orderHeld(c, s)
		case time.Now().After(end) || c.Context().Err() != nil:
			fmt.Fprintln(c.ErrOrStderr(), "hint: this hub has not received the new password yet; then answer which devices "+
				"are to be moved, with: rekeyd rekey")
			return nil
		}
		time.Sleep(100 * time.Millisecond) // until the hub's next look
	}
}
