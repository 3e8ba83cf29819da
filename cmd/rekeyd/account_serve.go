package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newAccount() *cobra.Command {
	c := &cobra.Command{Use: "account", Short: "The account service on its own", Args: args(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(newAccountServe())
	return c
}

func newAccountServe() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the account service, with its website and API, without a house", Args: args(cobra.NoArgs),
		Long: `Run the account service on its own: its website, its API, and the MQTT broker that its hubs meet at. A hub elsewhere is started with
rekeyd run --account-url URL and signed in with rekeyd login.

Mail goes over --smtp, or to files in --mail-dir; with both, files are what --smtp did not take.

Every limit is in one place, a JSON file that --policy names; what it leaves out stays as it is:

` + policyExample,
	}
	f := c.Flags()
	brokers := f.StringArray("broker", nil, "URL of an MQTT broker to use instead of the embedded one; several are tried in turn")
	l := defaultListen
	l.AccountFlag = "--listen"
	f.StringVar(&l.Account, "listen", l.Account, "address of the website and API")
	f.StringVar(&l.Broker, "broker-listen", l.Broker, "address of the embedded broker, as hubs reach it")
	m := accountFlags(c, "base-url")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs []error
		for _, b := range *brokers {
			if _, err := mqtt.ParseBroker(b); err != nil {
				errs = append(errs, err)
			}
		}
		if err := errors.Join(errs...); err != nil {
			return usage(c, err)
		}
		state := stateOf(c)
		o := appOptions{AccountDir: state, Brokers: *brokers, Listen: l, Log: m.log(c)}
		if err := m.apply(&o, filepath.Join(state, "mail")); err != nil {
			return err
		}
		a := &app{o: o}
		defer a.close()
		if err := a.openCloud(); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "account service:", a.accountURL())
		a.run(c.Context(), a.cloudParts())
		return nil
	}
	return c
}

// policyExample stands in the help, and is read by a test.
const policyExample = `{
  "profile": "default",
  "activation": true,
  "reset_life": "30m", "activate_life": "24h", "pairing_life": "10m", "disown_life": "168h",
  "session_life": "720h", "refresh_life": "4320h",
  "forgot_answer": "400ms", "forgot_pause": "1m", "forgot_per_hour": 5, "forgot_from": 10,
  "login_failures": 20, "login_window": "30m", "login_lock": "2h",
  "password_min": 12, "password_max": 32,
  "hash_memory": 19456, "hash_time": 2, "hash_threads": 1,
  "notice_every": "1h", "max_devices": 100000
}

"profile": "vendor" takes passwords from 6 characters on, as the vendor does.`

// accountOptions are the flags of whatever brings an account service.
type accountOptions struct {
	base, mailDir, smtp, from, policy string
	verbose                           bool
}

// accountFlags adds them to a command.
func accountFlags(c *cobra.Command, baseFlag string) *accountOptions {
	m, f := &accountOptions{}, c.Flags()
	f.StringVar(&m.base, baseFlag, "", "the account service's URL in mails, where people reach it under another one")
	f.StringVar(&m.mailDir, "mail-dir", "", "directory for mails (default: mail in the state directory)")
	f.StringVar(&m.smtp, "smtp", "", "URL of the SMTP server for mails: smtp://user:password@host:587 or smtps://…")
	f.StringVar(&m.from, "mail-from", "rekeyd@localhost.localdomain", "address that mails come from")
	f.StringVar(&m.policy, "policy", "", "JSON file with the account service's limits; see: rekeyd account serve --help")
	f.BoolVarP(&m.verbose, "verbose", "v", false, "log more")
	return m
}

func (m *accountOptions) log(c *cobra.Command) *slog.Logger {
	level := slog.LevelInfo
	if m.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
}

// apply checks the flags and puts them into o. Mail goes to dir where the flags name nothing else.
func (m *accountOptions) apply(o *appOptions, dir string) error {
	if m.base != "" {
		u, err := url.Parse(m.base)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return &home.Error{Op: "set up the account service", Err: errors.New("the base URL is none"), Hint: "give one like https://account.example.org"}
		}
		o.BaseURL = m.base
	}
	if m.policy != "" {
		raw, err := os.ReadFile(m.policy)
		if err == nil {
			o.Policy, err = account.ParsePolicy(raw)
		}
		if err != nil {
			return &home.Error{Op: "read the policy", Err: err, Hint: "correct " + m.policy + "; see: rekeyd account serve --help"}
		}
	}
	if m.mailDir != "" {
		dir = m.mailDir
	}
	folder := account.Folder{Dir: dir, From: m.from}
	if m.smtp == "" {
		o.Log.Info("mail goes to files", "dir", dir)
		o.Mail = folder
		return nil
	}
	server, err := account.NewSMTP(m.smtp, m.from)
	if err != nil {
		return err
	}
	o.Mail = server
	if m.mailDir != "" {
		o.GivenUp = folder
	}
	return nil
}
