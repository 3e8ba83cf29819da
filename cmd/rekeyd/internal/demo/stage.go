package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
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
	service *app.Service
	hub     *app.Hub
	sink    *mailSink
	house   *sim.House
	mine    []*sim.Device // those of the account that can be moved
	changed chan struct{}
	running sync.WaitGroup
	show    *screen
}

// newStage makes the daemon with its account service and the mailbox, all on loopback, with state in a temporary
// directory. build adds the house.
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
	server, err := mail.NewSMTP(s.sink.url(), "rekeyd@localhost.localdomain")
	if err != nil {
		return nil, err
	}
	const anyPort = "127.0.0.1:0"
	policy := account.DefaultPolicy()
	policy.ConnectionsFrom = 100_000 // the whole house is one address here
	s.service, err = app.NewService(app.ServiceOptions{
		State: s.dir, Listen: anyPort, Broker: anyPort, Mail: server, Policy: policy, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.hub, err = app.NewHub(app.HubOptions{
		State: s.dir, Interfaces: []string{loopback()}, Service: s.service, Listen: anyPort, Log: s.log,
		Pace: discover.Pace{Window: time.Second, First: 2 * time.Second, Quick: 10}, Changed: func(daemon.Row) { s.poke() },
	})
	if err != nil {
		s.service.Close()
	}
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

func (s *stage) print(format string, args ...any) { s.show.line(fmt.Sprintf(format, args...)) }

// note logs the error that ended a part of the demo: what waits for that part then runs out of time.
func (s *stage) note(err error) {
	if err != nil {
		s.log.Error("part of the demo failed", "err", err)
	}
}

// leave ends everything and waits until it has ended.
func (s *stage) leave(stop context.CancelFunc) {
	stop()
	s.running.Wait()
	s.hub.Close()
	s.service.Close()
	_ = os.RemoveAll(s.dir)
}

// mix is what a house of 14 consists of, every protocol by which a device can be moved among it; a larger one goes on
// with the same.
var mix = []struct {
	kind     home.Kind
	protocol home.Protocol
}{
	{home.Camera, home.Native},
	{home.Plug, home.IOT},
	{home.Switch, home.KLAP2},
	{home.Bulb, home.IOTKLAP2},
	{home.Camera, home.TapoCam},
	{home.Plug, home.KLAP1},
	{home.Switch, home.IOT},
	{home.Bulb, home.SmartAES},
	{home.Camera, home.TapoCam},
	{home.Plug, home.KLAP2},
	{home.Switch, home.IOTKLAP2},
	{home.Bulb, home.KLAP2},
	{home.Plug, home.SmartAES},
	{home.Bulb, home.IOT},
}

// specsOf are devices as their apps set them up with the account's password: every third missed that it was changed,
// and one was set back to the factory's settings.
func specsOf(n int, before, now home.Secret) []sim.Spec {
	var specs []sim.Spec
	factory := false
	for i := range n {
		spec := sim.Spec{Kind: mix[i%len(mix)].kind, Protocol: mix[i%len(mix)].protocol}
		switch {
		case spec.Protocol == home.Native:
		case spec.Protocol == home.KLAP2 && !factory:
			factory = true
			spec.Username, spec.Password = "test@tp-link.net", home.NewSecret("test")
		case i%3 == 2:
			spec.Username, spec.Password = demoEmail, before
		default:
			spec.Username, spec.Password = demoEmail, now
		}
		specs = append(specs, spec)
	}
	return specs
}

// build puts up the house: the account's devices, a neighbour's, and four that only their own app can move.
func (s *stage) build(run context.Context, client *v1.Client, before, now home.Secret) error {
	specs := specsOf(s.o.devices, before, now)
	specs = append(
		specs,
		sim.Spec{
			Kind:     home.Plug,
			Protocol: home.KLAP2,
			Name:     "the neighbour's plug",
			Username: "bob@example.org",
			Password: home.NewSecret(rand.Text()),
		},
		sim.Spec{Kind: home.Camera, Protocol: home.KasaCam, Name: "the Kasa camera", Username: demoEmail, Password: now},
		sim.Spec{
			Kind: home.Camera, Protocol: home.NC, Model: "NC220", Name: "NC220 the old camera", Username: demoEmail,
			Password: now,
		},
		sim.Spec{
			Kind: home.Camera, Protocol: home.NC, Model: "NC450", Name: "NC450 the old camera outside", Username: demoEmail,
			Password: now,
		},
		sim.Spec{Kind: home.Plug, Protocol: home.TPAP, Name: "the newest plug", Username: demoEmail, Password: now},
	)
	lo, err := net.InterfaceByName(loopback())
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	s.house, err = sim.New(sim.Options{Cloud: deviceCloud{client}, Announce: true, Interface: lo, Log: s.log}, specs)
	if err != nil {
		return err
	}
	s.mine = s.house.Devices()[:s.o.devices]
	s.running.Go(func() { _ = s.house.Run(run) })
	s.print(
		"Put up a house of %d simulated devices on the loopback interface, and %d others.",
		len(s.mine),
		len(specs)-len(s.mine),
	)
	return nil
}

// deviceCloud is how a simulated device signs itself in, as a real one does at the maker's cloud.
type deviceCloud struct{ client *v1.Client }

// SignIn is sim.Cloud.
func (c deviceCloud) SignIn(ctx context.Context, username string, password home.Secret) error {
	params := map[string]string{"deviceId": "simulated", "cloudUserName": username, "cloudPassword": password.Reveal()}
	return c.client.Call(ctx, home.Secret{}, "bindDevice", params, nil)
}
