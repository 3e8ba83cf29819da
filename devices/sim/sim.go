// Package sim plays a house of devices: real sockets, each device at an address of its own in 127.0.0.0/8 and on its
// protocol's true port, announced by mDNS where asked. It serves the demo, the tests, and users who try a
// program against devices that are not at hand (rekeyd simulate).
//
// Answers and failures are those of real devices as far as these are known: devices/PROTOCOLS.md, section 4.
// Nothing of it leaves the machine.
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// defaultBase is never changed.
var defaultBase = netip.AddrFrom4([4]byte{127, 53, 0, 1})

// Cloud is what an iot device signs in to, by itself, when it is bound and when it is switched on.
type Cloud interface {
	// SignIn returns home.ErrCredential for a wrong pair. Any other error is a cloud that cannot be reached.
	SignIn(ctx context.Context, username string, password home.Secret) error
}

// Options are the options of New.
type Options struct {
	Base      netip.Addr     // the first device's address, the others' follow; 127.53.0.1 when invalid
	Cloud     Cloud          // takes every pair when nil
	Announce  bool           // by mDNS
	Interface *net.Interface // to announce on; loopback when nil
	Log       *slog.Logger

	// Listen is used instead of TCP, where given; the devices then have no UDP sockets. Dial is likewise the way of native
	// devices to their broker.
	Listen func(at netip.AddrPort) (net.Listener, error)
	Dial   func(addr string) (net.Conn, error)
}

// House is a number of simulated devices.
type House struct {
	o          Options
	devices    []*Device
	announcer  *announcer         // nil where nothing is announced
	broadcasts []*broadcastSocket // one a port on which a device answers broadcasts
	ws         *wsSocket          // nil where no camera answers WS-Discovery
	running    chan struct{}
}

// New checks o and specs, and opens every socket of the house, its devices switched on. Run has them answer; Close lets
// go of a house that is not run.
func New(o Options, specs []Spec) (_ *House, err error) {
	if o.Log == nil {
		return nil, errors.New("simulate: log is needed")
	}
	if !o.Base.IsValid() {
		o.Base = defaultBase
	}
	if !o.Base.Is4() || !o.Base.IsLoopback() {
		return nil, fmt.Errorf("simulate: base address %s is not in 127.0.0.0/8", o.Base)
	}
	specs, free, err := settle(o.Base, specs)
	if err != nil {
		return nil, err
	}
	h := &House{o: o, running: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = h.Close()
		}
	}()
	for _, s := range specs {
		d, err := h.add(s, free)
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		if err := h.listen(d); err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
	}
	if free.taken > 0 {
		o.Log.Warn("addresses are taken, later ones are used", "taken", free.taken, "base", o.Base)
	}
	if o.Announce {
		if o.Interface == nil {
			if o.Interface, err = loopback(); err != nil {
				return nil, fmt.Errorf("simulate: announce: %w", err)
			}
		}
		if h.ws, err = listenWS(o.Interface, h.devices); err != nil {
			return nil, fmt.Errorf("simulate: WS-Discovery: %w", err)
		}
		if h.announcer, err = newAnnouncer(o.Interface, h.devices, o.Log); err != nil {
			return nil, fmt.Errorf("simulate: announce: %w", err)
		}
	}
	return h, nil
}

// add switches a device on, at its own address or at the next that is free.
func (h *House) add(s Spec, free *addresses) (*Device, error) {
	chosen := s.Addr.IsValid()
	for {
		if !chosen {
			var err error
			if s.Addr, err = free.take(); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
		}
		d, err := newDevice(h.o, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		err = d.PowerOn()
		if err == nil {
			h.devices = append(h.devices, d)
			return d, nil
		}
		if chosen || !errors.Is(err, errTaken) || free.taken == maxTaken {
			return nil, err
		}
		free.taken++
	}
}

// listen opens a socket for the broadcasts that the device answers.
func (h *House) listen(d *Device) error {
	var port uint16
	switch b := d.body.(type) {
	case discoverable:
		port = b.statement().port
	case broadcastAnswerer:
		port = home.IOT.Port()
	}
	open := func(e *broadcastSocket) bool { return e.port == port }
	if port == 0 || h.o.Listen != nil || slices.ContainsFunc(h.broadcasts, open) {
		return nil
	}
	e, err := listenBroadcasts(port)
	if err == nil {
		h.broadcasts = append(h.broadcasts, e)
	}
	return err
}

// Devices returns the devices of the house, in the order of their specs.
func (h *House) Devices() []*Device { return h.devices }

// Running returns a channel that is closed once every part of Run has been started.
func (h *House) Running() <-chan struct{} { return h.running }

// Run has the devices answer until ctx ends. It is called once. It sends goodbyes for those that were announced and are
// on, and closes the house.
func (h *House) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for _, e := range h.broadcasts {
		parts.Go(func() { e.run(ctx, h.devices) })
	}
	if h.announcer != nil {
		parts.Go(func() { h.announcer.run(ctx) })
	}
	if h.ws != nil {
		parts.Go(func() { h.ws.run(ctx, h.devices) })
	}
	for _, d := range h.devices {
		parts.Go(func() { d.run(ctx) })
	}
	close(h.running)
	parts.Wait()
	return h.Close()
}

// Close closes every socket of the house. It may be called more than once.
func (h *House) Close() error {
	for _, d := range h.devices {
		d.PowerOff()
	}
	var errs []error
	for _, e := range h.broadcasts {
		errs = append(errs, e.Close())
	}
	if h.announcer != nil {
		errs = append(errs, h.announcer.Close())
	}
	if h.ws != nil {
		errs = append(errs, h.ws.raw.Close())
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("simulate: close: %w", err)
		}
	}
	return nil
}
