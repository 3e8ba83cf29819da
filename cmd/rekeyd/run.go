package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/daemon/home"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the daemon: find devices, and keep those that are bound on the newest password", Args: args(cobra.NoArgs),
		Long: `Run the daemon. It looks for devices on the interfaces given (every multicast interface that is up, loopback left out),
and brings its own account service and MQTT broker unless it is told of others.

Mail of the embedded account service goes over --smtp, or to files in --mail-dir; with both, files are what --smtp did not take.`,
	}
	f := c.Flags()
	interfaces := f.StringSlice("interface", nil, "network interface to look for devices on; may be given several times")
	brokers := f.StringArray("broker", nil, "URL of an MQTT broker to use instead of the embedded one; several are tried in turn")
	accountURL := f.String("account-url", "", "base URL of the account service to use instead of the embedded one")
	parallel := f.Int("parallel", defaultParallel, "devices that are asked or moved at once")
	l := defaultListen
	f.StringVar(&l.Page, "listen", l.Page, "address of the house's page and read-only API")
	f.StringVar(&l.Account, "account-listen", l.Account, "address of the embedded account service")
	f.StringVar(&l.Broker, "broker-listen", l.Broker, "address of the embedded broker")
	m := accountFlags(c, l.BaseFlag)
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
			for _, name := range []string{"account-listen", l.BaseFlag, "mail-dir", "smtp", "mail-from", "policy"} {
				if f.Changed(name) {
					errs = append(errs, fmt.Errorf("%s is for the embedded account service, and --account-url names another", name))
				}
			}
		}
		if *parallel < 1 || *parallel > 256 {
			errs = append(errs, fmt.Errorf("parallel %d: want 1 to 256", *parallel))
		}
		if err := errors.Join(append(errs, m.check())...); err != nil {
			return usage(c, err)
		}
		state := stateOf(c)
		log := m.log(c)
		o := appOptions{State: state, Interfaces: *interfaces, Brokers: *brokers, AccountURL: *accountURL, Listen: l, Parallel: *parallel, Log: log}
		var err error
		if o.Passphrase, err = passphraseOf(c); err != nil {
			return err
		}
		if *accountURL == "" {
			if err := m.apply(&o); err != nil {
				return err
			}
		}
		return serve(c.Context(), o)
	}
	return c
}

// defaultParallel suits a Raspberry Pi.
const defaultParallel = 16

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
