// Package sim plays a house of devices: real sockets, each device at an address of its own in 127.0.0.0/8 and on its
// protocol's true port, announced by mDNS where asked. It serves the demo, the tests, and whoever wants to try a program
// against devices that are not at hand (rekeyd simulate).
//
// What a device says and how it fails is that of real ones as far as it is known: tp-link-devices.md, 2.1. Nothing of it
// leaves the machine.
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Cloud is what an iot device signs in to, by itself, when it is bound and when it is switched on.
type Cloud interface {
	// SignIn returns home.ErrCredential for a wrong pair. Any other error is a cloud that cannot be reached.
	SignIn(ctx context.Context, username string, password home.Secret) error
}

// Options are what New checks.
type Options struct {
	Base      netip.Addr     // the first device's address, the others' follow; 127.53.0.1 when invalid
	Cloud     Cloud          // takes every pair when nil
	Announce  bool           // by mDNS
	Interface *net.Interface // to announce on; loopback when nil
	Log       *slog.Logger
}

// House is a number of simulated devices.
type House struct {
	o       Options
	devices []*Device
	crier   *crier // nil where nothing is announced
	ear     *ear   // hears broadcasts; nil where no device would
}

// New checks o and specs, and opens every socket of the house, its devices switched on. Run has them answer; Close lets go of
// a house that is not run.
func New(o Options, specs []Spec) (_ *House, err error) {
	if o.Log == nil {
		return nil, errors.New("simulate: log is needed")
	}
	if !o.Base.IsValid() {
		o.Base = netip.AddrFrom4([4]byte{127, 53, 0, 1})
	}
	if !o.Base.Is4() || !o.Base.IsLoopback() {
		return nil, fmt.Errorf("simulate: base address %s is not in 127.0.0.0/8", o.Base)
	}
	specs, err = settle(o.Base, specs)
	if err != nil {
		return nil, err
	}
	h := &House{o: o}
	defer func() {
		if err != nil {
			_ = h.Close()
		}
	}()
	for _, s := range specs {
		d, err := newDevice(o, s)
		if err != nil {
			return nil, fmt.Errorf("simulate %s: %w", s.Name, err)
		}
		h.devices = append(h.devices, d)
		if err := d.PowerOn(); err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		if d.iot != nil && h.ear == nil {
			if h.ear, err = listenBroadcasts(); err != nil {
				return nil, fmt.Errorf("simulate: %w", err)
			}
		}
	}
	if o.Announce {
		if h.crier, err = newCrier(o.Interface, h.devices, o.Log); err != nil {
			return nil, fmt.Errorf("simulate: announce: %w", err)
		}
	}
	return h, nil
}

// settle gives every device a name and an address of its own.
func settle(base netip.Addr, specs []Spec) ([]Spec, error) {
	if len(specs) == 0 || len(specs) > maxDevices {
		return nil, fmt.Errorf("simulate: %d devices: want 1 to %d", len(specs), maxDevices)
	}
	out := make([]Spec, len(specs))
	names, addrs := map[string]int{}, map[netip.Addr]int{}
	var errs []error
	wrong := func(i int, err error) {
		errs = append(errs, fmt.Errorf("simulate: device %d: %w", i+1, err))
	}
	for i, s := range specs {
		if err := s.check(); err != nil {
			wrong(i, err)
		}
		if other, twice := names[s.Name]; twice && s.Name != "" {
			wrong(i, fmt.Errorf("field %q: %q is also the name of device %d", "name", s.Name, other+1))
		}
		if other, twice := addrs[s.Addr]; twice && s.Addr.IsValid() {
			wrong(i, fmt.Errorf("field %q: %s is also the address of device %d", "addr", s.Addr, other+1))
		}
		names[s.Name], addrs[s.Addr] = i, i
		out[i] = s
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	count := map[home.Kind]int{}
	for i := range out {
		s := &out[i]
		for s.Name == "" {
			count[s.Kind]++
			if name := fmt.Sprintf("%s-%d", s.Kind, count[s.Kind]); !has(names, name) {
				s.Name = name
			}
		}
		for !s.Addr.IsValid() {
			if !has(addrs, base) && !edge(base) {
				s.Addr = base
			}
			base = base.Next()
			if !base.IsLoopback() {
				return nil, fmt.Errorf("simulate %s: there are no addresses left in 127.0.0.0/8", s.Name)
			}
		}
	}
	return out, nil
}

func has[K comparable, V any](m map[K]V, k K) bool { _, ok := m[k]; return ok }

// edge tells whether a person would take a for a network's own address or its broadcast address.
func edge(a netip.Addr) bool { last := a.As4()[3]; return last == 0 || last == 255 }

// Devices returns the devices of the house, in the order of their specs.
func (h *House) Devices() []*Device { return h.devices }

// Run has the devices answer until ctx ends. It says goodbye for those that were announced and are on, and closes the house.
func (h *House) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	if h.ear != nil {
		parts.Go(func() { h.ear.run(ctx, h.devices) })
	}
	if h.crier != nil {
		parts.Go(func() { h.crier.run(ctx) })
	}
	for _, d := range h.devices {
		parts.Go(func() { d.run(ctx) })
	}
	parts.Wait()
	return h.Close()
}

// Close closes every socket of the house. It may be called more than once.
func (h *House) Close() error {
	for _, d := range h.devices {
		d.PowerOff()
	}
	var errs []error
	if h.ear != nil {
		errs = append(errs, h.ear.Close())
	}
	if h.crier != nil {
		errs = append(errs, h.crier.Close())
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("simulate: close: %w", err)
		}
	}
	return nil
}
