package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// newAccount returns the parent of account serve. The owner's own commands stand one level higher, because a hub with
// an embedded service needs them too.
func newAccount() *cobra.Command {
	c := &cobra.Command{
		Use: "account", Short: "The account service on its own", Args: terminal.Args(cobra.NoArgs),
		Long: `The account service without a house, for hubs elsewhere. A hub that is started with  rekeyd run
has one embedded.

The commands of an account's owner are one step higher: register, activate, login, forgot and reset.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAccountServe())
	return c
}

// newAccountServe returns the command that runs the account service without a hub.
func newAccountServe() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the account service, with its website and API, without a house",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Run the account service on its own: its website, its API, and the MQTT broker that its hubs meet
at. The first line on standard output is its URL. A hub elsewhere is started with
rekeyd run --account-url URL  and signed in with  rekeyd login EMAIL. Hubs on other machines have to reach
the broker: --broker-listen opens it to them, and they find it at the host of --base-url, or where
--hub-broker names it.

Mail goes over --smtp, or to files in --mail-dir; with both, files are what --smtp did not take.

Every limit is in one place, a JSON file that --policy names; what it leaves out stays as it is:

` + policyExample,
	}
	f := c.Flags()
	brokers := f.StringArray(
		"broker", nil, "URL of an MQTT broker to use instead of the embedded one; several are tried in turn",
	)
	hubBrokers := f.StringArray(
		"hub-broker", nil, "URL by which hubs reach the broker, where it is another one; several are tried in turn",
	)
	listen := f.String("listen", defaultAccount, "address of the website and API")
	brokerAddr := f.String("broker-listen", defaultBroker, "address of the embedded broker")
	m := accountFlags(c, "listen", "base-url")
	brokerPassword, brokerCA := addBrokerPassword(c), addBrokerCA(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs []error
		for _, b := range slices.Concat(*brokers, *hubBrokers) {
			if _, err := mqtt.ParseBroker(b); err != nil {
				errs = append(errs, err)
			}
		}
		// Hubs reach the same broker, as the same user.
		urls := userURLs{
			flag: "broker", fileFlag: "broker-password-file", urls: slices.Concat(*brokers, *hubBrokers), file: *brokerPassword,
		}
		if err := errors.Join(append(errs, urls.check(), m.check())...); err != nil {
			return terminal.Usage(c, err)
		}
		passphrase, err := passphraseOf(c)
		if err != nil {
			return err
		}
		all, err := urls.read()
		if err != nil {
			return err
		}
		*brokers, *hubBrokers = all[:len(*brokers)], all[len(*brokers):]
		roots, err := authorities(*brokerCA)
		if err != nil {
			return err
		}
		o := app.ServiceOptions{
			State:  stateOf(c),
			Listen: *listen, Broker: *brokerAddr, Brokers: *brokers, HubBrokers: *hubBrokers, BrokerCA: roots,
			Passphrase: passphrase,
			Log:        m.log(c),
		}
		if err := m.apply(&o); err != nil {
			return err
		}
		app.LimitMemory(o.Log)
		app.WarnOfVolatile(o.State, o.Log)
		s, err := app.NewService(o)
		if err != nil {
			return err
		}
		defer s.Close()
		go func() {
			if s.WaitListening(c.Context()); c.Context().Err() != nil {
				return
			}
			// A script reads this line: with port 0 it is the only place that has the port.
			fmt.Fprintln(c.OutOrStdout(), "account service:", s.URL())
			o.Log.Info("account service runs", "version", version, "state", o.State, "url", s.BaseURL())
			if o.TLS != nil {
				o.Log.Info("every port has TLS", "certificate", o.TLS.Fingerprint)
			}
		}()
		if err := s.Run(c.Context()); err != nil {
			return err
		}
		o.Log.Info("account service stopped")
		return nil
	}
	return c
}

// policyExample stands in the help, and is read by a test: all limits, as they are by default.
const policyExample = `{
  "activation": true,
  "reset_life": "30m", "pairing_life": "10m",
  "forgot_answer": "400ms", "forgot_pause": "1m", "forgot_per_hour": 5, "forgot_from": 10,
  "login_failures": 20, "login_from": 200, "connections_from": 256,
  "password_min": 12,
  "hash_memory": 19456, "hash_time": 2
}

"password_min": 6 is the vendor's own rule. As many passwords as there are processors, four at most, are hashed at the
same time, in hash_memory KiB each.`

// accountOptions are the flags of both commands that run an account service.
type accountOptions struct {
	listenFlag, baseFlag              string // by which its address and base are chosen
	base, mailDir, smtp, from, policy string
	hosts                             []string
	tls                               string // "auto", or a file; empty for none
	smtpPassword                      string // file
	verbose                           bool
}

// accountFlags adds them to a command.
func accountFlags(c *cobra.Command, listenFlag, baseFlag string) *accountOptions {
	m, f := &accountOptions{listenFlag: listenFlag, baseFlag: baseFlag}, c.Flags()
	f.StringVar(&m.base, baseFlag, "", "the account service's URL in mails, where people reach it under another one")
	f.StringVar(&m.mailDir, "mail-dir", "", "directory for mails (default: mail in the state directory)")
	f.StringVar(&m.smtp, "smtp", "", "URL of the SMTP server for mails: smtp://user@host:587 or smtps://…")
	f.StringVar(&m.smtpPassword, "smtp-password-file", "", "file that holds the password of the user in --smtp")
	f.StringVar(&m.from, "mail-from", "rekeyd@localhost.localdomain", "address that mails come from")
	f.StringVar(&m.policy, "policy", "", "JSON file with the account service's limits; see: rekeyd account serve --help")
	f.StringVar(&m.tls, "tls", "", "use TLS on every port: auto makes a certificate at the first start; or a PEM file "+
		"with certificate, chain and key")
	f.StringSliceVar(&m.hosts, "host", nil, "further name under which people open the pages, as in their DNS; may be given "+
		"several times. Addresses, localhost and the names of this machine need none")
	f.BoolVarP(&m.verbose, "verbose", "v", false, "log more")
	return m
}

// log returns the logger of the program, on standard error.
func (m *accountOptions) log(c *cobra.Command) *slog.Logger {
	return newLog(c.ErrOrStderr(), m.verbose)
}

// check returns what is wrong with the flags themselves.
func (m *accountOptions) check() error {
	u, err := url.Parse(m.base)
	if m.base != "" &&
		(err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" ||
			u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		return fmt.Errorf("%s: want a URL like https://account.example.org", m.baseFlag)
	}
	if m.tls != "" && m.base != "" && u.Scheme != "https" {
		return fmt.Errorf("%s: with --tls people reach the account service over https", m.baseFlag)
	}
	return m.server().check()
}

// server returns the flags of the SMTP server.
func (m *accountOptions) server() userURLs {
	return userURLs{flag: "smtp", fileFlag: "smtp-password-file", urls: []string{m.smtp}, file: m.smtpPassword}
}

// certificate returns the certificate that --tls names; nil for none.
func (m *accountOptions) certificate(state string, log *slog.Logger) (*app.Certificate, error) {
	switch m.tls {
	case "":
		return nil, nil
	case "auto":
		return app.OwnCertificate(state, log)
	}
	return app.LoadCertificate(m.tls, log)
}

// apply reads the files that the flags name, and sets the options in o. Without a flag for mail, mail goes to a folder
// in the state directory.
func (m *accountOptions) apply(o *app.ServiceOptions) (err error) {
	o.Hosts = m.hosts
	o.BaseURL, o.ListenFlag, o.BaseFlag = m.base, "--"+m.listenFlag, "--"+m.baseFlag
	if o.TLS, err = m.certificate(o.State, o.Log); err != nil {
		return err
	}
	if m.policy != "" {
		raw, err := os.ReadFile(m.policy)
		if err == nil {
			o.Policy, err = account.ParsePolicy(raw)
		}
		if err != nil {
			return &home.Error{
				Op:   "read the policy",
				Err:  err,
				Hint: "correct " + m.policy + "; see: rekeyd account serve --help",
			}
		}
	}
	dir := m.mailDir
	if dir == "" {
		dir = filepath.Join(o.State, "mail")
	}
	if abs, err := filepath.Abs(dir); err == nil { // the log names it, and its reader may be in another directory
		dir = abs
	}
	folder := mail.Folder{Dir: dir, From: m.from, Log: o.Log}
	if m.smtp == "" {
		o.Log.Info("mail goes to files", "dir", dir)
		o.Mail = folder
		return nil
	}
	urls, err := m.server().read()
	if err != nil {
		return err
	}
	server, err := mail.NewSMTP(urls[0], m.from)
	if err != nil {
		return err
	}
	o.Mail = server
	if m.mailDir != "" {
		o.Log.Info("mail that the server does not take goes to files", "dir", dir)
		o.GivenUp = folder
	}
	return nil
}
