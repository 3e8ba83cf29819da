package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the daemon: find devices, and keep those that are bound on the newest password", Args: args(cobra.NoArgs),
		Long: `Run the daemon. It looks for devices on the interfaces given (every multicast interface that is up, loopback left out),
and brings its own account service and MQTT broker unless it is told of others.

Mail of the embedded account service goes over --smtp, or to files in --mail-dir.`,
	}
	f := c.Flags()
	interfaces := f.StringSlice("interface", nil, "network interface to look for devices on; may be given several times")
	brokers := f.StringArray("broker", nil, "URL of an MQTT broker to use instead of the embedded one; several are tried in turn")
	accountURL := f.String("account-url", "", "base URL of the account service to use instead of the embedded one")
	l := defaultListen
	f.StringVar(&l.Page, "listen", l.Page, "address of the house's page and read-only API")
	f.StringVar(&l.Account, "account-listen", l.Account, "address of the embedded account service")
	f.StringVar(&l.Broker, "broker-listen", l.Broker, "address of the embedded broker")
	baseURL := f.String("account-base-url", "", "the embedded account service's URL in mails, where people reach it under another one")
	mailDir := f.String("mail-dir", "", "directory for the embedded account service's mails (default: mail in the state directory)")
	smtp := f.String("smtp", "", "URL of the SMTP server for them: smtp://user:password@host:587 or smtps://…")
	mailFrom := f.String("mail-from", "rekeyd@localhost.localdomain", "address that those mails come from")
	passphrase := f.String("passphrase-file", "", "file that holds the passphrase of the vault; without it a key file beside the store serves")
	verbose := f.BoolP("verbose", "v", false, "log more")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs []error
		for _, b := range *brokers {
			if _, err := mqtt.ParseBroker(b); err != nil {
				errs = append(errs, err)
			}
		}
		if *accountURL != "" {
			if u, err := url.Parse(*accountURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
				errs = append(errs, errors.New("account-url: want an http or https URL"))
			}
		}
		if *smtp != "" && *mailDir != "" {
			errs = append(errs, errors.New("mail goes over --smtp or to --mail-dir, not both"))
		}
		if err := errors.Join(errs...); err != nil {
			return usage(c, err)
		}
		state := stateOf(c)
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
		o := appOptions{
			State: state, Interfaces: *interfaces, Brokers: *brokers, AccountURL: *accountURL, BaseURL: *baseURL, Listen: l, Log: log,
		}
		var err error
		if *passphrase != "" {
			if o.Passphrase, err = readSecretFile(*passphrase); err != nil {
				return err
			}
		}
		if *accountURL == "" {
			if o.Mail, err = mailer(state, *mailDir, *smtp, *mailFrom, log); err != nil {
				return err
			}
		}
		return serve(c.Context(), o)
	}
	return c
}

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, o appOptions) error {
	a, err := newApp(o)
	if err != nil {
		return err
	}
	defer a.close()
	o.Log.Info("rekeyd runs", "version", version, "hub", a.identity.Name, "state", o.State, "page", "http://"+a.page().String(), "account", a.accountURL())
	a.run(ctx, a.parts())
	o.Log.Info("rekeyd stopped")
	return nil
}

// mailer is how the embedded account service sends mail.
func mailer(state, dir, smtp, from string, log *slog.Logger) (account.Mailer, error) {
	if smtp != "" {
		return account.NewSMTP(smtp, from)
	}
	if dir == "" {
		dir = filepath.Join(state, "mail")
	}
	log.Info("mail goes to files", "dir", dir)
	return account.Folder{Dir: dir, From: from}, nil
}

func readSecretFile(path string) (home.Secret, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return home.Secret{}, &home.Error{Op: "read the passphrase", Err: err, Hint: "see that this user may read the file"}
	}
	s := strings.TrimRight(string(raw), "\r\n")
	if s == "" {
		return home.Secret{}, &home.Error{Op: "read the passphrase", Err: fmt.Errorf("%s is empty", path)}
	}
	return home.NewSecret(s), nil
}
