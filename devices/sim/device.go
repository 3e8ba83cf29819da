package sim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Device is one simulated device. Its methods may be called by several goroutines, before and while its house runs.
type Device struct {
	spec      Spec
	body      body
	announced func() // announces the device; may be nil

	ready chan *outlet // an outlet that is not served yet; room for one

	switching sync.Mutex // one switch at a time; held until it is done
	mu        sync.Mutex // guards on
	on        *outlet    // nil while the device is off
}

// protocol makes the devices of one protocol. A new one is a file with one of these and the body that it builds, and a
// line in protocolOf.
type protocol struct {
	check func(Spec) error // reports errors of a spec, by field, beyond those of all protocols
	build func(Options, Spec) body
}

// protocolOf returns the maker of devices of a protocol, or an error that lists the protocols.
func protocolOf(p home.Protocol) (protocol, error) {
	switch p {
	case home.IOT:
		return protocol{checkIOT, func(o Options, s Spec) body {
			if s.Kind == home.Camera {
				return newKasacam(o, s)
			}
			return newIOT(o, s)
		}}, nil
	case home.NC:
		return protocol{checkNC, func(o Options, s Spec) body { return newNC(o, s) }}, nil
	case home.Native:
		return protocol{checkNative, func(o Options, s Spec) body { return newNative(o, s) }}, nil
	case home.KLAP2, home.SmartAES:
		return protocol{checkSmart, func(_ Options, s Spec) body { return newSmart(s) }}, nil
	case home.KLAP1, home.IOTKLAP2:
		return protocol{checkIOTKLAP, func(o Options, s Spec) body { return newIOTKLAP(o, s) }}, nil
	case home.KasaCam:
		return protocol{checkKasacam, func(o Options, s Spec) body { return newKasacam(o, s) }}, nil
	case home.TPAP:
		return protocol{checkTPAP, func(_ Options, s Spec) body { return newTPAP(s) }}, nil
	case home.TapoCam:
		return protocol{checkTapocam, func(_ Options, s Spec) body { return newTapocam(s) }}, nil
	}
	var names []string
	for _, row := range home.Protocols() {
		names = append(names, string(row.Name))
	}
	return protocol{}, fmt.Errorf("field %q: protocol %q: want one of %s", "protocol", p, strings.Join(names, ", "))
}

// body is the inside of a device. Its state survives being switched off. All but plug are called only after the
// first plug.
type body interface {
	id() home.DeviceID
	port() uint16
	plug() (socket, error)      // opens the device's sockets
	announcement() announcement // by mDNS; without a service for a device that is not announced
}

// Abilities that only some bodies have.
type (
	// holder holds a username and a password; "" for none.
	holder interface {
		holds() (string, home.Secret)
		hold(string, home.Secret)
	}
	// checker knows of its password only a hash.
	checker interface{ checks(home.Secret) bool }
	// guest has a session with a cloud.
	guest interface{ endSession() }
	// member knows epochs: the newest that it holds, and at which it is signed in.
	member interface {
		epochs() (held, signedIn home.Epoch)
	}
	// broadcastAnswerer answers broadcasts to port 9999.
	broadcastAnswerer interface {
		answerBroadcast(ctx context.Context, r request, from netip.AddrPort)
	}
)

// socket has the listeners of a device that is on.
type socket interface {
	serve(context.Context) // until ctx ends or the socket is closed
	Close() error
}

// outlet is one time that a device is on.
type outlet struct {
	socket
	off  chan struct{} // closed to switch the device off
	done chan struct{} // closed when it is no longer served
}

// newDevice makes the device of a spec that was checked.
func newDevice(o Options, s Spec) (*Device, error) {
	p, err := protocolOf(s.Protocol)
	if err != nil {
		return nil, err
	}
	o.Log = o.Log.With("device", s.Name)
	s.opened, s.listen = &opened{}, o.Listen
	return &Device{spec: s, body: p.build(o, s), ready: make(chan *outlet, 1)}, nil
}

// ID returns the name that a hub gives the device.
func (d *Device) ID() home.DeviceID { return d.body.id() }

// MAC returns the hardware address of a device that states it only to those who are signed in, as twelve hexadecimal
// digits; nothing for others, whose ID has it.
func (d *Device) MAC() string {
	if c, ok := d.body.(*ncCamera); ok {
		return hex.EncodeToString(c.mac)
	}
	return ""
}

// Kind returns the kind of the device.
func (d *Device) Kind() home.Kind { return d.spec.Kind }

// Protocol returns the protocol of the device.
func (d *Device) Protocol() home.Protocol { return d.spec.Protocol }

// Name returns the device's name for people.
func (d *Device) Name() string { return d.spec.Name }

// Addr returns where the device listens while it is on.
func (d *Device) Addr() netip.AddrPort { return netip.AddrPortFrom(d.spec.Addr, d.body.port()) }

// Username returns the account that the device is bound to, empty for none and for a device that holds no username.
func (d *Device) Username() string {
	u, _ := d.pair()
	return u
}

// Password returns the password that the device holds, zero for none and for a camera that knows only its hash: see
// Holds.
func (d *Device) Password() home.Secret {
	_, p := d.pair()
	return p
}

// Holds reports whether the device is bound with this pair.
func (d *Device) Holds(username string, password home.Secret) bool {
	u, p := d.pair()
	holds := p.Equal(password)
	if c, ok := d.body.(checker); ok {
		holds = c.checks(password)
	}
	return u != "" && u == username && holds
}

func (d *Device) pair() (string, home.Secret) {
	if h, ok := d.body.(holder); ok {
		return h.holds()
	}
	return "", home.Secret{}
}

// Hold has the device hold this pair, as if its app had bound it; none when username is empty. It does nothing to a
// device of a protocol that knows no pairs.
func (d *Device) Hold(username string, password home.Secret) {
	if h, ok := d.body.(holder); ok {
		h.hold(username, password)
	}
}

// EndSession has the device lose its cloud session, as a reset of the account's password does. It signs in again with
// what it holds, and stays disconnected where that is refused.
func (d *Device) EndSession() {
	if g, ok := d.body.(guest); ok {
		g.endSession()
	}
}

// Epochs returns the newest epoch that a native device holds and the newest at which it is signed in, 0 for none.
func (d *Device) Epochs() (held, signedIn home.Epoch) {
	if m, ok := d.body.(member); ok {
		return m.epochs()
	}
	return 0, 0
}

// On reports whether the device is switched on.
func (d *Device) On() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on != nil
}

// PowerOn opens the device's sockets. It does nothing to a device that is on.
func (d *Device) PowerOn() error {
	d.switching.Lock()
	defer d.switching.Unlock()
	if d.On() {
		return nil
	}
	s, err := d.plug()
	if err != nil {
		return taken(d, err)
	}
	o := &outlet{socket: s, off: make(chan struct{}), done: make(chan struct{})}
	d.set(o)
	d.ready <- o
	if d.announced != nil {
		d.announced()
	}
	return nil
}

// PowerOff closes the device's sockets at once, and returns when they are closed. It sends no goodbye.
func (d *Device) PowerOff() {
	d.switching.Lock()
	defer d.switching.Unlock()
	d.mu.Lock()
	o := d.on
	d.on = nil
	d.mu.Unlock()
	if o == nil {
		return
	}
	select {
	case <-d.ready: // it is not served yet
		_ = o.Close()
	default:
		close(o.off)
		<-o.done
	}
}

func (d *Device) set(o *outlet) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.on = o
}

// run serves the device whenever it is on, until ctx ends.
func (d *Device) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-d.ready:
			d.serve(ctx, o)
		}
	}
}

// serve serves the device until it is switched off or ctx ends.
func (d *Device) serve(ctx context.Context, o *outlet) {
	ctx, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-o.off:
		case <-ctx.Done():
		}
		stop()
		_ = o.Close()
	})
	o.serve(ctx)
	stop()
	watch.Wait()
	close(o.done)
}

var errTaken = errors.New("address and port are taken")

// taken returns the error for an address that is not available, with a hint.
func taken(d *Device, err error) error {
	e := &home.Error{Op: "listen for " + d.spec.Name + " at " + d.Addr().String(), Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Err, e.Hint = errTaken, "stop what listens there, or give the devices other addresses in 127.0.0.0/8"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Err, e.Hint = errors.New("this machine has no such address"),
			"give loopback the whole of 127.0.0.0/8, as Linux does"
	default:
		if op, ok := errors.AsType[*net.OpError](err); ok {
			e.Err = op.Err
		}
	}
	return e
}
