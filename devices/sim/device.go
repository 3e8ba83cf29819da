package sim

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Device is one simulated device. Its methods may be called by several goroutines, before and while its house runs.
type Device struct {
	spec  Spec
	id    home.DeviceID
	port  uint16
	log   *slog.Logger
	body  body
	iot   *iot    // body, where it is one
	nat   *native // body, where it is one
	tells func()  // has the device announced; may be nil

	ready chan *outlet // an outlet that is not served yet; room for one

	switching sync.Mutex // one switch at a time; held until it is done
	mu        sync.Mutex // guards on
	on        *outlet    // nil while the device is off
}

// body is what is inside a device.
type body interface {
	// plug opens the device's sockets.
	plug() (socket, error)
}

// socket is what a device that is on listens with.
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

func newDevice(o Options, s Spec) (*Device, error) {
	d := &Device{spec: s, log: o.Log.With("device", s.Name), ready: make(chan *outlet, 1)}
	switch s.Protocol {
	case home.IOT:
		d.iot = newIOT(o.Cloud, s, d.log)
		d.body, d.id, d.port = d.iot, d.iot.id, iotPort
	default:
		d.nat = newNative(s, d.log)
		d.body, d.port = d.nat, nativePort
	}
	return d, nil
}

// ID returns the name that a hub gives the device.
func (d *Device) ID() home.DeviceID {
	if d.nat != nil {
		return d.nat.id()
	}
	return d.id
}

// Kind returns what the device is.
func (d *Device) Kind() home.Kind { return d.spec.Kind }

// Protocol returns what the device speaks.
func (d *Device) Protocol() home.Protocol { return d.spec.Protocol }

// Name returns the device's name for people.
func (d *Device) Name() string { return d.spec.Name }

// Addr returns where the device listens while it is on.
func (d *Device) Addr() netip.AddrPort { return netip.AddrPortFrom(d.spec.Addr, d.port) }

// Username returns the account that an iot device is bound to, empty for none.
func (d *Device) Username() string {
	if d.iot == nil {
		return ""
	}
	u, _ := d.iot.holds()
	return u
}

// Password returns the password that an iot device holds.
func (d *Device) Password() home.Secret {
	if d.iot == nil {
		return home.Secret{}
	}
	_, p := d.iot.holds()
	return p
}

// Holds tells whether the device is an iot device that is bound with this pair.
func (d *Device) Holds(username string, password home.Secret) bool {
	if d.iot == nil {
		return false
	}
	u, p := d.iot.holds()
	return u != "" && u == username && p.Equal(password)
}

// Hold has an iot device hold this pair, as if its app had bound it; none when username is empty.
func (d *Device) Hold(username string, password home.Secret) {
	if d.iot != nil {
		d.iot.hold(username, password)
	}
}

// EndSession has an iot device lose its cloud session, as a reset of the account's password does. It signs in again with what it
// holds, and stays disconnected where that is refused.
func (d *Device) EndSession() {
	if d.iot != nil {
		d.iot.endSession()
	}
}

// Epochs returns the newest epoch that a native device holds and the newest at which it is signed in, 0 for none.
func (d *Device) Epochs() (held, signedIn home.Epoch) {
	if d.nat == nil {
		return 0, 0
	}
	return d.nat.epochs()
}

// On tells whether the device is switched on.
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
	s, err := d.body.plug()
	if err != nil {
		return taken(d, err)
	}
	o := &outlet{socket: s, off: make(chan struct{}), done: make(chan struct{})}
	d.set(o)
	d.ready <- o
	if d.tells != nil {
		d.tells()
	}
	return nil
}

// PowerOff closes the device's sockets at once, and returns when they are closed. It says goodbye to nobody.
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
	case <-d.ready: // nobody has served it
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

// taken says what to do about an address that cannot be had.
func taken(d *Device, err error) error {
	e := &home.Error{Op: "listen for " + d.spec.Name + " at " + d.Addr().String(), Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Err, e.Hint = errors.New("address and port are taken"), "stop what listens there, or give the devices other addresses in 127.0.0.0/8"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Err, e.Hint = errors.New("this machine has no such address"), "give loopback the whole of 127.0.0.0/8, as Linux does"
	default:
		if op, ok := errors.AsType[*net.OpError](err); ok {
			e.Err = op.Err
		}
	}
	return e
}

// Line is what is printed of a device, so that others can test against it: its password, too.
type Line struct {
	ID       home.DeviceID `json:"id"`
	Kind     home.Kind     `json:"kind"`
	Protocol home.Protocol `json:"protocol"`
	Addr     netip.Addr    `json:"addr"`
	Port     uint16        `json:"port"`
	Username string        `json:"username"`
	Password string        `json:"password"`
}

// Line returns the device as one line of JSON, without the line's end. The password is there on purpose: it is made up.
func (d *Device) Line() []byte {
	raw, err := json.Marshal(Line{
		ID: d.ID(), Kind: d.Kind(), Protocol: d.Protocol(), Addr: d.spec.Addr, Port: d.port,
		Username: d.Username(), Password: d.Password().Reveal(),
	})
	if err != nil {
		panic("a line of texts and numbers: " + err.Error())
	}
	return raw
}
