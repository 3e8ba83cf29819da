package sim

import (
	"context"
	"fmt"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// iotKLAP is a device that takes the commands of iot behind KLAP: devices/PROTOCOLS.md, section 3.1. That it takes
// those of its account there, too, is a guess, and so is that it proves the pair that it was given last, whether or not
// its cloud has taken it yet.
type iotKLAP struct {
	*iot
	door *klap

	mu     sync.Mutex // guards the fields below
	before pair       // what its cloud still knows, of a device that reverts
	since  int        // requests since it was given something else
}

func iotKLAPDefects() []Defect {
	return []Defect{Flapping, Reverting, ThirdPartyOff, OneRequest, Garbled, Impostor, Stubborn, Forgetful, Busy, Offline}
}

// checkIOTKLAP returns the errors of a spec for iot commands behind KLAP.
func checkIOTKLAP(s Spec) error {
	if s.Kind == home.Camera {
		return fmt.Errorf("field %q: no camera speaks %s", "kind", s.Protocol)
	}
	if _, err := modelOf(s.Kind, s.Model); err != nil {
		return fmt.Errorf("field %q: %w", "model", err)
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: a device of this protocol does not lock", "locks")
	}
	return checkDefects(s.Defects, iotKLAPDefects())
}

func newIOTKLAP(o Options, s Spec) *iotKLAP {
	d := &iotKLAP{iot: newIOT(o, s)}
	d.door = &klap{v1: s.Protocol == home.KLAP1, defect: s.has, holds: d.proves, answer: d.request, opened: s.opened}
	return d
}

func (d *iotKLAP) port() uint16 { return webPort(home.KLAP2.Port()) }

// announcement is empty: no mDNS is known of these devices.
func (d *iotKLAP) announcement() announcement { return announcement{} }

// proves is the pair by which it lets in.
func (d *iotKLAP) proves() (string, home.Secret) {
	d.iot.mu.Lock()
	defer d.iot.mu.Unlock()
	return d.account.username, d.account.password
}

func (d *iotKLAP) hold(username string, password home.Secret) {
	d.mu.Lock()
	d.before = pair{}
	d.mu.Unlock()
	d.iot.hold(username, password)
	d.door.close()
}

// request runs a request of a client that has signed in. Firmware that ends the session after each takes one module at
// a time.
func (d *iotKLAP) request(ctx context.Context, raw []byte) []byte {
	r, err := parseRequest(raw)
	if err != nil || d.spec.has(OneRequest) && len(r) > 1 {
		return []byte(`{"err_code":-1}`)
	}
	d.goBack()
	for module, methods := range r {
		for method := range methods {
			d.spec.opened.ran(module + "." + method)
			d.mu.Lock()
			if d.spec.has(Reverting) && method == "bind" && d.before.username == "" {
				d.before, d.since = pair{d.spec.Username, d.spec.Password}, 0
			}
			d.mu.Unlock()
		}
	}
	return d.answer(ctx, r)
}

// goBack has a device that reverts hold again what its cloud knows, at the third request after it was given something
// else.
func (d *iotKLAP) goBack() {
	d.mu.Lock()
	back := d.before
	if back.username != "" {
		if d.since++; d.since < 3 {
			back = pair{}
		} else {
			d.before = pair{}
		}
	}
	d.mu.Unlock()
	if back.username != "" {
		d.iot.hold(back.username, back.password)
	}
}

// plug opens the web server. The device is online at once where it has no cloud to sign in to.
func (d *iotKLAP) plug() (socket, error) {
	d.door.close() // a session does not survive being switched off
	w, err := plugWeb(d.spec, webPort(home.KLAP2.Port()), d.door, nil)
	if err != nil {
		return nil, err
	}
	d.iot.mu.Lock()
	d.connected = d.account.bound && d.online()
	d.iot.mu.Unlock()
	return &iotKLAPSocket{w, d}, nil
}

// iotKLAPSocket is such a device that is on.
type iotKLAPSocket struct {
	socket
	d *iotKLAP
}

func (s *iotKLAPSocket) serve(ctx context.Context) {
	s.d.signedInDuring(ctx, s.socket.serve)
}

// statement is the answer to a discovery probe on port 20002.
func (d *iotKLAP) statement() tdpStatement {
	username, _ := d.holds()
	typ := "IOT.SMARTPLUGSWITCH"
	if d.model.kind == home.Bulb {
		typ = "IOT.SMARTBULB"
	}
	open := statement(d.spec, d.mac, typ, d.model.full, username)
	open["device_model"] = d.model.full
	if username != "" {
		open["owner"] = ownerOf(username)
	}
	scheme := webScheme("KLAP", webPort(home.KLAP2.Port()), 0)
	if !d.door.v1 {
		scheme["new_klap"] = 1
	}
	open["mgt_encrypt_schm"] = scheme
	return tdpStatement{port: tdpPort, open: open}
}
