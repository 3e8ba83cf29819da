package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newRegister returns the command that registers an account, over the JSON API of the account service. No daemon is
// needed, except to find the service.
func newRegister() *cobra.Command {
	c := &cobra.Command{
		Use:   "register EMAIL",
		Short: "Register an account at the account service",
		Args:  terminal.Args(cobra.ExactArgs(1)),
	}
	addAccountFlag(c)
	addPasswordFlag(c)
	c.RunE = func(c *cobra.Command, as []string) error {
		at := accountOf(c)
		client, err := at.client(c)
		if err != nil {
			return err
		}
		warnPlain(c, at.url)
		pw, err := readPassword(c, "Password for the new account ("+at.passwordRule()+")", true)
		if err != nil {
			return err
		}
		params := map[string]string{"email": as[0], "password": pw.Reveal(), "appType": app.Web.AppType}
		var sent struct {
			Mailed bool
			Code   string
		}
		if err := client.Call(c.Context(), home.Secret{}, "register", params, &sent); err != nil {
			return app.AccountError("register "+as[0], err)
		}
		fmt.Fprintln(c.OutOrStdout(), "Registered.")
		switch {
		case sent.Code != "":
			fmt.Fprintln(c.OutOrStdout(), "Your code:", sent.Code)
			fmt.Fprintln(c.OutOrStdout(), "Activate the account with it: rekeyd activate")
		case sent.Mailed:
			fmt.Fprintln(c.OutOrStdout(), "Open the link in the mail, or run: rekeyd activate")
		}
		fmt.Fprintln(c.OutOrStdout(), "Then sign this hub in with: rekeyd login "+as[0])
		return nil
	}
	return c
}

// newActivate returns the command that activates a registered account. The link names the service, unless it is the one
// of the daemon on this machine.
func newActivate() *cobra.Command {
	c := &cobra.Command{
		Use: "activate", Short: "Activate a registered account with the link from the mail", Args: noSecrets("the link"),
		Long: `Activate a registered account with the link, or the code, from the mail. The command asks for it and does
not show it; --stdin reads it from standard input. It is no argument: other users of this machine can see those.`,
	}
	addAccountFlag(c)
	c.Flags().Bool("stdin", false, "read the link from standard input")
	c.RunE = func(c *cobra.Command, _ []string) error {
		link, _, err := readLink(c, false)
		if err != nil {
			return err
		}
		client, err := link.client(c)
		if err != nil {
			return err
		}
		params := map[string]string{"token": link.token.Reveal()}
		if err := client.Call(c.Context(), home.Secret{}, "activate", params, nil); err != nil {
			err = app.AccountError("activate", err)
			if e, ok := errors.AsType[*home.Error](err); ok && app.LinkUsed(err) {
				e.Hint = "a link works once and not for long: sign in if the account is activated, or ask for a new one with: " +
					"rekeyd register EMAIL"
			}
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "Activated. Sign this hub in with: rekeyd login EMAIL")
		return nil
	}
	return c
}

// newForgot returns the command that asks for a reset mail. The service answers the same for every address, after the
// same time.
func newForgot() *cobra.Command {
	c := &cobra.Command{
		Use: "forgot EMAIL", Short: "Ask for the mail that resets a forgotten password",
		Args: terminal.Args(cobra.ExactArgs(1)),
		Long: `Ask for the mail that resets a forgotten password, as the "Forgot password" of an app or the
website does. The answer is the same whether or not there is an account of that address. Only the user of a daemon
that brings its own account service, and root, see the code that is mailed: over the daemon's socket.`,
	}
	addAccountFlag(c)
	door := c.Flags().String("door", "web", "through which door: kasa, tpcamera or web")
	c.RunE = func(c *cobra.Command, as []string) error {
		d, err := app.DoorNamed(*door)
		if err != nil {
			return terminal.Usage(c, err)
		}
		at := accountOf(c)
		client, err := at.client(c)
		if err != nil {
			return err
		}
		params := map[string]string{"email": as[0], "appType": d.AppType}
		var offer struct {
			Code     string
			Activate bool
		}
		if err := client.Call(c.Context(), home.Secret{}, "getResetPasswordEmail", params, &offer); err != nil {
			return app.AccountError("ask for the mail", err)
		}
		switch {
		case offer.Activate:
			fmt.Fprintln(c.OutOrStdout(), "The account is not active yet. Your code:", offer.Code)
			fmt.Fprintln(c.OutOrStdout(), "Activate the account with it: rekeyd activate")
			return nil
		case offer.Code != "":
			fmt.Fprintln(c.OutOrStdout(), "Your code:", offer.Code)
			fmt.Fprintln(c.OutOrStdout(), "Choose a new password with it: rekeyd reset")
			return nil
		}
		fmt.Fprintln(
			c.OutOrStdout(),
			"If there is an account of that address, a mail is on its way. Open its link, or run: rekeyd reset",
		)
		return nil
	}
	return c
}

// newReset returns the command that sets a new password with a mailed link. It sends the password only to the
// configured service, or to one that the person has confirmed: a forged mail can lead elsewhere.
func newReset() *cobra.Command {
	c := &cobra.Command{
		Use: "reset", Short: "Set a new password with the link or code from the mail", Args: noSecrets("the link"),
		Long: `Set a new password with the link, or the code, from the mail. The command asks for both and does not show
them; --stdin reads them from standard input, the link on the first line and the new password on the second.

The account service is that of the daemon on this machine, or --account-url. A link that leads to another one is
followed only after you have confirmed its address: whoever is there gets the new password.`,
	}
	addAccountFlag(c)
	c.Flags().Bool("stdin", false, "read the link and then the new password from standard input, a line each")
	exposed := c.Flags().Bool("exposed", false,
		"somebody else may know the old password: hubs ask before they move devices")
	c.RunE = func(c *cobra.Command, _ []string) error {
		link, pw, err := readLink(c, true)
		if err != nil {
			return err
		}
		if err := link.confirmHost(c); err != nil {
			return err
		}
		client, err := link.client(c)
		if err != nil {
			return err
		}
		warnPlain(c, link.base)
		if pw.IsZero() {
			// A link that has expired is reported before a password is typed for it.
			token := map[string]string{"token": link.token.Reveal()}
			if err := client.Call(c.Context(), home.Secret{}, "resetInfo", token, nil); err != nil {
				return app.AccountError("reset the password", err)
			}
			if pw, err = readPassword(c, link.prompt(), true); err != nil {
				return err
			}
		}
		if !*exposed {
			*exposed, _ = askYes(c, "May somebody else know the old password? (no: you forgot it)")
		}
		params := map[string]any{"token": link.token.Reveal(), "newPassword": pw.Reveal(), "exposed": *exposed}
		var done struct{ Hubs int }
		var hub daemon.Status // of this machine's hub, where there is one
		here := dialHub(stateOf(c)).call(c.Context(), http.MethodGet, "/v1/status", nil, &hub) == nil &&
			hostOf(hub.AccountURL) == hostOf(link.base)
		if err := client.Call(c.Context(), home.Secret{}, "resetPassword", params, &done); err != nil {
			return app.AccountError("reset the password", err)
		}
		fmt.Fprintln(c.OutOrStdout(), "Your password was changed. Hubs of this account that are informed:", done.Hubs)
		if done.Hubs == 0 {
			fmt.Fprintln(c.ErrOrStderr(), "warning: no hub belongs to this account: no device will be signed in again. "+
				"Sign your hub in with: rekeyd login EMAIL")
			return nil
		}
		fmt.Fprintln(c.OutOrStdout(), "rekeyd now signs your devices in again; see: rekeyd status")
		if *exposed && here && hub.Epoch != 0 {
			return orderHeldAfter(c, hub.Epoch)
		}
		return nil
	}
	return c
}

var errEmailOrPair = errors.New("give the e-mail address of the account, or --pair")

// emailOrPair is cobra.PositionalArgs of login. Without both, login asks for the address.
func emailOrPair(c *cobra.Command, as []string) error {
	if pair, _ := c.Flags().GetBool("pair"); pair && len(as) > 0 || len(as) > 1 {
		return errEmailOrPair
	}
	return nil
}

// newLogin returns the command that signs the hub in. The daemon does it, not this process: the credential goes through
// the control socket and stays in the daemon's vault.
func newLogin() *cobra.Command {
	c := &cobra.Command{
		Use: "login [EMAIL]", Short: "Sign this hub in to an account", Args: terminal.Args(emailOrPair),
		Long: `Sign this hub in to an account, once: with its e-mail address and password, or with --pair and
the word that the account's page shows. The daemon must be running.

An account service elsewhere is named with --account-url. One whose certificate no authority signed (rekeyd run
--tls auto, rekeyd account serve --tls auto) is named with the fingerprint that it prints when it starts, and that
rekeyd status prints there:

  rekeyd login EMAIL --account-url https://HOST:7354#sha256=FINGERPRINT

With --provider tplink it is an account at TP-Link's own cloud, that of the Kasa and Tapo apps. That cloud does
not report a new password: after a reset give it once, with the same command. Where it asks for a second factor
it sends a code by e-mail, which is asked for on the terminal. With --code-stdin it is the line after the password on
standard input. It is no argument, as other users of this machine can see those.`,
	}
	addAccountFlag(c)
	addPasswordFlag(c)
	provider := c.Flags().String("provider", "home", "whose cloud the account is at: home, or tplink for the vendor's")
	code := c.Flags().Bool(
		"code-stdin", false, "with --provider tplink: read from standard input the password, and then the code from the mail",
	)
	exposed := c.Flags().Bool(
		"exposed",
		false,
		"with --provider tplink: somebody else may know the old password; devices that hold it wait for you",
	)
	pair := c.Flags().Bool(
		"pair", false, "read a pairing word instead of a password (with --password-stdin from standard input)",
	)
	c.RunE = func(c *cobra.Command, as []string) error {
		in := map[string]any{}
		if u, _ := c.Flags().GetString("account-url"); u != "" {
			in["account_url"] = u
		}
		switch {
		case *provider != "home" && *provider != string(home.TPLink):
			return terminal.Usage(c, fmt.Errorf("provider %q: want home or tplink", *provider))
		case *provider == string(home.TPLink):
			if *pair {
				return terminal.Usage(c, errors.New("--pair is for accounts at an account service, and --provider tplink is none"))
			}
			in["provider"] = *provider
		case *code:
			return terminal.Usage(c, errors.New("--code-stdin goes with --provider tplink"))
		case *exposed:
			return terminal.Usage(c, errors.New("--exposed goes with --provider tplink"))
		}
		h := dialHub(stateOf(c))
		var s daemon.Status
		if err := h.call(c.Context(), http.MethodGet, "/v1/status", nil, &s); err != nil {
			return err
		}
		if *provider == "home" {
			typed, _ := c.Flags().GetString("account-url")
			warnPlain(c, cmp.Or(typed, s.AccountURL))
		}
		key := "password"
		var secret home.Secret
		var err error
		if !*pair {
			email, ok := "", false
			if len(as) == 1 {
				email = as[0]
			} else if email, ok = askLine(c, "E-mail address of your account"); !ok || email == "" {
				if err := c.Context().Err(); err != nil {
					return err
				}
				return terminal.Usage(c, errEmailOrPair)
			}
			in["email"] = email
		}
		switch {
		case *pair:
			key = "pairing"
			secret, err = readPairing(c, "Pairing word")
		case *code:
			secret, in["code"], err = readPasswordAndCode(c)
		default:
			secret, err = readPassword(c, "Password", false)
		}
		if err != nil {
			return err
		}
		in[key] = secret.Reveal()
		if *provider == string(home.TPLink) && s.Provider == home.TPLink && !c.Flags().Changed("exposed") {
			*exposed, _ = askYes(c, "If you changed it: may somebody else know the old password?")
		}
		if *exposed {
			in["exposed"] = true
		}
		err = h.call(c.Context(), http.MethodPost, "/v1/login", in, nil)
		if errors.Is(err, home.ErrCode) && in["code"] == nil {
			if typed, ok := askLine(c, "A code was sent to you by e-mail. Code"); ok && typed != "" {
				in["code"] = typed
				err = h.call(c.Context(), http.MethodPost, "/v1/login", in, nil)
			}
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "This hub is signed in. Bind your devices with: rekeyd bind --all")
		if *exposed {
			if s, err = statusOf(c); err == nil {
				err = orderHeld(c, s)
			}
		}
		return err
	}
	return c
}
