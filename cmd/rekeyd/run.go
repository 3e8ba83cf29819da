package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/site"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/supervisor"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/devices/discover"
)

// The project's ports, on loopback.
const (
	defaultPage    = "127.0.0.1:7353"
	defaultAccount = "127.0.0.1:7354"
	defaultBroker  = "127.0.0.1:7355"
)

// newRun returns the daemon: a hub, and the account service with its broker unless --account-url names another one.
func newRun() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the daemon: find devices, and keep the bound ones signed in",
		Args: terminal.Args(cobra.NoArgs),
		Long: `Run the daemon. It looks for devices on the interfaces given (every multicast interface that is
up, loopback left out), and runs its own account service and MQTT broker unless others are named.
Devices in another subnet, which no broadcast reaches, are found at their --target.

Mail of the embedded account service goes over --smtp, or to files in --mail-dir; with both, files are what
--smtp did not take.`,
	}
	f := c.Flags()
	interfaces := f.StringSlice("interface", nil, "network interface to look for devices on; may be given several times")
	targets := f.StringSlice("target", nil, "address, subnet (/22 or smaller) or host name of devices that no broadcast "+
		"reaches; may be given several times")
	brokers := f.StringArray(
		"broker", nil, "URL of an MQTT broker to use instead of the embedded one; several are tried in turn",
	)
	accountURL := f.String("account-url", "", "base URL of the account service to use instead of the embedded one")
	base := f.String("base-url", "", "where people open the pages of the house through a proxy, as http://NAME/rekeyd; "+
		"everybody signs in there then, and mails lead there")
	parallel := f.Int("parallel", defaultParallel, "devices that are asked or moved at once")
	page := f.String("listen", defaultPage, "address of the house's page and read-only API")
	socket := f.String("socket", "", "path of the socket for commands, where the state directory cannot hold it "+
		"(FAT, exFAT, a long path); without it, in $RUNTIME_DIRECTORY if that is set, else in the state directory")
	account := f.String("account-listen", defaultAccount, "address of the embedded account service")
	brokerAddr := f.String("broker-listen", defaultBroker, "address of the embedded broker")
	m := accountFlags(c, "account-listen", "account-base-url")
	brokerPassword, brokerCA := addBrokerPassword(c), addBrokerCA(c)
	house := addMQTT(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var errs []error
		var probed []discover.Target
		for _, text := range *targets {
			t, err := discover.ParseTarget(text)
			errs = append(errs, err)
			probed = append(probed, t)
		}
		for _, b := range *brokers {
			if _, err := mqtt.ParseBroker(b); err != nil {
				errs = append(errs, err)
			}
		}
		urls := userURLs{flag: "broker", fileFlag: "broker-password-file", urls: *brokers, file: *brokerPassword}
		errs = append(errs, urls.check(), house.check(c, len(*brokers) == 0 && *accountURL == ""))
		if *accountURL != "" {
			if _, err := v1.New(*accountURL); err != nil {
				errs = append(errs, errors.New("account-url: want an http or https URL, with #sha256=FINGERPRINT where it pins a "+
					"certificate"))
			}
			for _, name := range []string{
				"account-listen", m.baseFlag, "mail-dir", "smtp", "smtp-password-file", "mail-from", "policy",
			} {
				if f.Changed(name) {
					errs = append(errs, fmt.Errorf("%s is for the embedded account service, and --account-url names another", name))
				}
			}
		}
		opened, err := site.ParseBase(*base)
		if err != nil {
			errs = append(errs, fmt.Errorf("base-url: %w", err))
		}
		if *parallel < 1 || *parallel > 256 {
			errs = append(errs, fmt.Errorf("parallel %d: want 1 to 256", *parallel))
		}
		if err := errors.Join(append(errs, m.check())...); err != nil {
			return terminal.Usage(c, err)
		}
		log := m.log(c)
		passphrase, err := passphraseOf(c)
		if err != nil {
			return err
		}
		if *brokers, err = urls.read(); err != nil {
			return err
		}
		roots, err := authorities(*brokerCA)
		if err != nil {
			return err
		}
		published, err := house.read()
		if err != nil {
			return err
		}
		hub := app.HubOptions{
			MQTT:  published,
			State: stateOf(c), Version: version, Passphrase: passphrase, Log: log,
			Interfaces: *interfaces, Targets: probed, AccountURL: *accountURL, Brokers: *brokers, BrokerCA: roots,
			Listen: *page,
			Socket: cmp.Or(*socket, app.RuntimeSocket(os.Getenv)), Parallel: *parallel, Hosts: m.hosts, Base: opened,
		}
		app.LimitMemory(log)
		app.WarnOfVolatile(hub.State, log)
		if *accountURL != "" {
			if hub.TLS, err = m.certificate(hub.State, log); err != nil {
				return err
			}
			return runHub(c.Context(), hub)
		}
		service := app.ServiceOptions{
			State: hub.State, Listen: *account, Broker: *brokerAddr, Brokers: *brokers, BrokerCA: roots,
			Passphrase: passphrase, Log: log, House: published,
		}
		if err := m.apply(&service); err != nil {
			return err
		}
		if opened.URL != "" {
			service.PagesURL = opened.URL + site.AccountPath
		}
		hub.TLS = service.TLS
		return runBoth(c.Context(), hub, service)
	}
	return c
}

// defaultParallel suits a Raspberry Pi.
const defaultParallel = 16

// runHub runs a hub until ctx ends. One that has left its account is made anew, with its new keys.
func runHub(ctx context.Context, o app.HubOptions) error {
	for {
		hub, err := app.NewHub(o)
		if err != nil {
			return err
		}
		err = supervise(ctx, hub, o.Log)
		hub.Close()
		if errors.Is(err, app.ErrLeft) {
			continue
		}
		if err == nil {
			o.Log.Info("rekeyd stopped")
		}
		return err
	}
}

// supervise runs a hub, and reports its state to the service manager that started this process, if there is one.
func supervise(ctx context.Context, hub *app.Hub, log *slog.Logger) error {
	n := supervisor.NewNotifier(os.Getenv, os.Getpid(), log.With("part", "supervisor"))
	if n == nil {
		return hub.Run(ctx)
	}
	reporting, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		n.Run(reporting, supervisor.Program{Serving: hub.Serving(reporting), Waiting: hub.Waiting, Alive: hub.Engine().Alive})
	})
	return hub.Run(ctx)
}

// runBoth runs a hub with its own account service until ctx ends.
func runBoth(ctx context.Context, o app.HubOptions, so app.ServiceOptions) error {
	service, err := app.NewService(so)
	if err != nil {
		return err
	}
	defer service.Close()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = service.Run(ctx) }) // it has no part whose failure would end it
	o.Service = service
	return runHub(ctx, o)
}
