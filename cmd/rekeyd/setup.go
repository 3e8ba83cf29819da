package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newSetup returns the command that leads an owner from a new daemon to a bound house. It runs the same steps as the
// commands of their own, and can be run again.
func newSetup() *cobra.Command {
	c := &cobra.Command{
		Use: "setup", Short: "Begin here: sign in, see what was found, bind what is yours",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Set this hub up, question by question: the account, the devices that were found, and which of them rekeyd
keeps on your newest password. The daemon must be running. Whatever is done already is left out.`,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		h := dialHub(stateOf(c))
		var s daemon.Status
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s); err != nil {
			return err
		}
		out := c.OutOrStdout()
		if s.Account == "" {
			fmt.Fprintln(out, "1. Your account")
			if err := setupAccount(c, h); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(out, "1. This hub is signed in as", terminal.Printable(s.Account))
		}
		fmt.Fprintln(out, "2. Your devices")
		s, err := awaitProbes(c, h)
		if err != nil {
			return err
		}
		found := "1 device was found"
		if n := len(s.Devices); n != 1 {
			found = fmt.Sprint(n, " devices were found")
		}
		fmt.Fprintf(out, "%s so far, and rekeyd goes on looking.\n", found)
		fmt.Fprintln(out, "3. Which of them are yours")
		if err := runCommand(c, "bind", "--all"); err != nil {
			return err
		}
		fmt.Fprintln(out, "4. Your page. Open this link within ten minutes, and choose a password for it there:")
		if err := printPageLink(c, h); err != nil {
			return err
		}
		fmt.Fprintln(out, "Done. See how far each device is with: rekeyd status")
		return nil
	}
	return c
}

// setupAccount asks the first question, and signs the hub in.
func setupAccount(c *cobra.Command, h *hub) error {
	vendor, ok := askYes(c, "Do you have a TP-Link account, the one of the Kasa and Tapo apps?")
	switch {
	case c.Context().Err() != nil:
		return c.Context().Err()
	case !ok:
		return terminal.Usage(c, errors.New("setup asks questions on a terminal; scripts run: rekeyd login EMAIL --password-stdin"))
	}
	email, _ := askLine(c, "E-mail address of your account")
	switch {
	case c.Context().Err() != nil:
		return c.Context().Err()
	case email == "":
		return &home.Error{Op: "set up", Err: errNothing, Hint: "type the e-mail address, then Enter"}
	}
	if vendor {
		return runCommand(c, "login", email, "--provider", string(home.TPLink))
	}
	return setupOwnAccount(c, h, email)
}

// setupOwnAccount registers an account at the service of this hub, activates it and signs the hub in. An account that
// exists is signed in to.
func setupOwnAccount(c *cobra.Command, h *hub, email string) error {
	at := accountOf(c)
	client, err := at.client(c)
	if err != nil {
		return err
	}
	warnPlain(c, at.url)
	pw, err := readPassword(c, "Its password ("+at.passwordRule()+")", true)
	if err != nil {
		return err
	}
	var sent struct {
		Mailed bool
		Code   string
	}
	params := map[string]string{"email": email, "password": pw.Reveal(), "appType": app.Web.AppType}
	err = client.Call(c.Context(), home.Secret{}, "register", params, &sent)
	if e, ok := errors.AsType[*v1.Error](err); ok && e.Code == account.EmailTaken {
		err = nil
	}
	if err == nil && sent.Code != "" {
		err = client.Call(c.Context(), home.Secret{}, "activate", map[string]string{"token": sent.Code}, nil)
	}
	if err != nil {
		return app.AccountError("register "+email, err)
	}
	if sent.Mailed {
		return &home.Error{
			Op: "set up", Err: errors.New("a mail with a link is on its way to you"),
			Hint: "open the link, and go on with: rekeyd setup",
		}
	}
	in := map[string]any{"email": email, "password": pw.Reveal()}
	if err := h.call(c.Context(), http.MethodPost, "/v1/login", in, nil); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), "This hub is signed in.")
	return nil
}

// setupPatience is how long setup waits for the first answers of devices.
const setupPatience = 15 * time.Second

// awaitProbes returns the status once each device that was found has been asked which password it holds, or after
// setupPatience.
func awaitProbes(c *cobra.Command, h *hub) (s daemon.Status, err error) {
	bar := terminal.NewProgress(c.ErrOrStderr(), "Asking devices")
	defer bar.End()
	for end := time.Now().Add(setupPatience); ; {
		s = daemon.Status{}
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s); err != nil {
			return s, err
		}
		asked := 0
		for _, r := range s.Devices {
			if r.Verdict != home.Unasked {
				asked++
			}
		}
		bar.Set(asked, len(s.Devices))
		if asked > 0 && asked == len(s.Devices) || time.Now().After(end) {
			return s, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-c.Context().Done():
			return s, c.Context().Err()
		}
	}
}

// runCommand prints another command and runs it, as if it had been typed.
func runCommand(c *cobra.Command, args ...string) error {
	fmt.Fprintln(c.OutOrStdout(), "$ rekeyd", terminal.Printable(strings.Join(args, " ")))
	sub, rest, err := c.Root().Find(args)
	if err != nil {
		return err
	}
	sub.SetContext(c.Context())
	if err := sub.ParseFlags(rest); err != nil {
		return err
	}
	if err := applySettings(sub); err != nil {
		return err
	}
	return sub.RunE(sub, sub.Flags().Args())
}
