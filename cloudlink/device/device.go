// Package device lets a device speak the link itself: a maker's firmware, or anything that embeds this package. The
// device announces itself as _rekeyd._tcp, answers a hub at its endpoint, joins the account that the hub names, and
// from then on follows every change of the account's password by itself: it receives the notice, opens the grant that
// is sealed to its own key, and proves itself. How to use it: devices/native/README.md.
package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/announce"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Service is the DNS-SD service type under which such a device announces itself.
const Service = "_rekeyd._tcp"

// Options are the options of New.
type Options struct {
	State Keeper    // where the device keeps its keys and its account
	Kind  home.Kind // camera, plug, switch, bulb or other
	Model string
	Name  string // for people
	Log   *slog.Logger

	Listen      string          // address of the endpoint; ":0" when empty
	Listener    net.Listener    // used instead of Listen, where given; Run closes it
	Interfaces  []net.Interface // to announce on; all multicast interfaces when empty
	Unannounced bool            // the caller announces it, with TXT

	Dial func(addr string) (net.Conn, error) // to a broker; TCP or TLS when nil

	// Began is called with each epoch once the device holds it. It must not block, and may be nil.
	Began func(home.Epoch)
	// Answer answers a request of the owner's app over the link; nil for a device that takes no requests. It
	// ends when ctx does.
	Answer func(ctx context.Context, request []byte) ([]byte, error)
}

// Device is a device that speaks the link.
type Device struct {
	o        Options
	id       *wire.Identity
	m        *memory
	link     *cloudlink.Link
	listener net.Listener
	asked    atomic.Int64 // when a message on the LAN last caused a hello; Unix nanoseconds
}

// New checks o, makes the device's keys at the first start, and opens its endpoint's port. Run answers there.
func New(o Options) (*Device, error) {
	var errs []error
	if o.State == nil || o.Log == nil {
		errs = append(errs, errors.New("state and log are needed"))
	}
	if _, err := home.ParseKind(string(o.Kind)); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	m, err := remember(o.State)
	if err != nil {
		return nil, err
	}
	id, err := wire.NewIdentity(wire.RoleDevice, m.s.SignSeed, m.s.SealSeed)
	if err != nil {
		return nil, err
	}
	m.self = home.DeviceID(id.Name)
	d := &Device{o: o, id: id, m: m, listener: o.Listener}
	boot, err := m.boot()
	if err != nil {
		return nil, err
	}
	d.link, err = cloudlink.New(cloudlink.Options{
		Identity: id, Store: m, Boot: boot, Name: o.Name, Version: o.Model, Log: o.Log,
		Secret: home.SecretBytes(m.s.BindingSecret), Began: o.Began, Expelled: d.leave, Relay: d.carryOut,
		Dial: o.Dial,
	})
	if err != nil {
		return nil, err
	}
	if d.listener == nil {
		if d.listener, err = net.Listen("tcp", cmpOr(o.Listen, ":0")); err != nil {
			return nil, fmt.Errorf("device: open the endpoint: %w", err)
		}
	}
	return d, nil
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// carryOut answers an app's request to this device.
func (d *Device) carryOut(ctx context.Context, id home.DeviceID, request []byte) ([]byte, error) {
	switch {
	case id != d.ID():
		return nil, home.ErrNotFound
	case d.o.Answer == nil:
		return nil, errors.ErrUnsupported
	}
	return d.o.Answer(ctx, request)
}

// ID returns the device's name, which its keys give it.
func (d *Device) ID() home.DeviceID { return home.DeviceID(d.id.Name) }

// Addr returns the address of the endpoint.
func (d *Device) Addr() net.Addr { return d.listener.Addr() }

// TXT returns the TXT record of the announcement.
func (d *Device) TXT() []string {
	return []string{"id=" + d.id.Name, "kind=" + string(d.o.Kind), "model=" + d.o.Model, "name=" + d.o.Name}
}

// Holds returns the newest epoch that the device holds and the newest at which the account signed it in; 0 for none.
func (d *Device) Holds() (held, signedIn home.Epoch) { return d.m.epochs() }

// Run announces the device, answers at its endpoint, and keeps the link, until ctx ends.
func (d *Device) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !d.o.Unannounced {
		port := d.listener.Addr().(*net.TCPAddr).Port
		s := announce.Service{
			Instance: string(d.ID()), Type: Service, Port: uint16(port), TXT: d.TXT(), Interfaces: d.interfaces, Log: d.o.Log,
			Poll: 2 * time.Second, // a device is wanted as soon as its network is there
		}
		var announced sync.WaitGroup
		defer announced.Wait()
		defer stop()
		announced.Go(func() { _ = s.Run(ctx) }) // it is complete
	}
	srv := &http.Server{
		Handler: d.endpoint(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	ends := make(chan error, 2)
	go func() { ends <- d.link.Run(ctx) }()
	go func() { ends <- srv.Serve(d.listener) }()
	var err error
	left := 2
	select {
	case <-ctx.Done():
	case err = <-ends:
		left--
	}
	stop()
	_ = srv.Close()
	for range left {
		<-ends
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// interfaces returns those to announce on.
func (d *Device) interfaces() ([]net.Interface, error) {
	if len(d.o.Interfaces) > 0 {
		return d.o.Interfaces, nil
	}
	return announce.Multicast()
}

// leave forgets the account, which no longer knows the device.
func (d *Device) leave() {
	if err := d.m.leave(); err != nil {
		d.o.Log.Error("account not left", "err", err)
		return
	}
	d.o.Log.Info("account left")
	d.link.Rejoin()
}
