//go:build !nodemo

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover"
	"github.com/rekeyd/rekeyd/devices/sim"
)

// stage is everything that the demo needs: the daemon, the mailbox, the house.
type stage struct {
	o       demoOptions
	dir     string
	log     *slog.Logger
	app     *app
	sink    *mailSink
	house   *sim.House
	changed chan struct{}
	running sync.WaitGroup
	show    *screen
}

func newStage(o demoOptions) (_ *stage, err error) {
	s := &stage{o: o, log: slog.New(slog.DiscardHandler), changed: make(chan struct{}, 1)}
	if o.verbose {
		s.log = slog.New(slog.NewTextHandler(o.errs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w := o.out
	if o.json {
		w = o.errs
	}
	s.show = newScreen(w, o.verbose)
	if s.dir, err = os.MkdirTemp("", "rekeyd-demo-"); err != nil {
		return nil, fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.dir)
		}
	}()
	if s.sink, err = newMailSink(); err != nil {
		return nil, err
	}
	mail, err := account.NewSMTP(s.sink.url(), "rekeyd@localhost.localdomain")
	if err != nil {
		return nil, err
	}
	const anyPort = "127.0.0.1:0"
	policy := account.DefaultPolicy()
	policy.ConnectionsFrom = 100_000 // the whole house is one address here
	s.app, err = newApp(appOptions{
		State: s.dir, Interfaces: []string{loopback()}, Listen: listenOptions{Page: anyPort, Account: anyPort, Broker: anyPort}, Mail: mail, Policy: policy, Log: s.log,
		Pace: discover.Pace{Window: time.Second, First: 2 * time.Second, Quick: 10}, Told: func(daemon.Row) { s.poke() },
	})
	return s, err
}

// loopback is the name of the loopback interface.
func loopback() string {
	all, _ := net.Interfaces() // none is an error of its own, later
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	return "lo"
}

func (s *stage) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stage) say(format string, args ...any) { s.show.line(fmt.Sprintf(format, args...)) }

// leave ends everything and waits until it has ended.
func (s *stage) leave(stop context.CancelFunc) {
	stop()
	s.running.Wait()
	s.app.close()
	_ = os.RemoveAll(s.dir)
}

// build puts up the house: devices that were set up with the account's first password, as their app would have done.
func (s *stage) build(run context.Context, client *v1.Client, pw home.Secret) error {
	var specs []sim.Spec
	left, shares := s.o.devices, 0
	for _, m := range mix {
		shares += m.share
	}
	for i, m := range mix {
		n := max(1, s.o.devices*m.share/shares)
		if i == len(mix)-1 {
			n = left
		}
		left -= n
		for range n {
			spec := sim.Spec{Kind: m.kind, Protocol: m.protocol}
			if m.protocol != home.Native {
				spec.Username, spec.Password = demoEmail, pw
			}
			specs = append(specs, spec)
		}
	}
	lo, err := net.InterfaceByName(loopback())
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	s.house, err = sim.New(sim.Options{Cloud: deviceCloud{client}, Announce: true, Interface: lo, Log: s.log}, specs)
	if err != nil {
		return err
	}
	s.running.Go(func() { _ = s.house.Run(run) })
	s.say("Put up a house of %d simulated devices on the loopback interface.", len(specs))
	return nil
}

// deviceCloud is how a simulated device signs itself in, as a real one does at the maker's cloud.
type deviceCloud struct{ client *v1.Client }

func (c deviceCloud) SignIn(ctx context.Context, username string, password home.Secret) error {
	params := map[string]string{"deviceId": "simulated", "cloudUserName": username, "cloudPassword": password.Reveal()}
	return c.client.Call(ctx, home.Secret{}, "bindDevice", params, nil)
}
