package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/tpap/record"
	"github.com/rekeyd/rekeyd/devices/tpap/spake2"
)

// tpap is a device whose firmware speaks TPAP only: devices/PROTOCOLS.md, section 11. A plug, switch or bulb speaks
// it over plain HTTP on port 80 and names SHA-1; a camera over TLS on port 443, with MD5 or with sha256-crypt. One
// without an owner takes the passcode of its hardware address. Inside a session it runs the commands of the
// older protocols; that it takes a new password by them is a guess.
type tpap struct {
	spec Spec
	mac  net.HardwareAddr
	unit unit

	mu       sync.Mutex // guards the fields below
	guard    guard
	verifier verifier
	begun    *exchange // the last sign-in that was begun: a share does not name its sign-in
	sessions map[string]*tpapSession
	ended    time.Time // when the last session ended, for a device that needs a rest
}

// unit runs the commands of a session, and holds the account.
type unit interface {
	holder
	run(method string, params json.RawMessage) (any, int)
}

// verifier is a password as the device stores it.
type verifier struct {
	of   pair
	salt []byte
	spake2.Verifier
}

// exchange is a sign-in that was begun.
type exchange struct {
	responder *spake2.Responder
	context   []byte
}

// tpapSession is a sign-in that has succeeded.
type tpapSession struct {
	cipher record.Cipher
	seq    uint32 // of the next request
}

func tpapDefects() []Defect {
	return []Defect{Garbled, Impostor, Stubborn, Crypt, Unhashed, Reticent, Restless, Faithless, Suite2}
}

// checkTPAP returns the errors of a spec for TPAP.
func checkTPAP(s Spec) error {
	switch {
	case s.Kind == home.Other:
		return fmt.Errorf("field %q: no %s speaks tpap here: plug, switch, bulb and camera do", "kind", s.Kind)
	case len(s.Model) > 63:
		return fmt.Errorf("field %q: want at most 63 bytes", "model")
	}
	return checkDefects(s.Defects, tpapDefects())
}

// usualPlugLocks is after how many wrong sign-ins a plug locks: section 11.6.
const usualPlugLocks = 15

// newTPAP puts the protocol around the inside of a plug or a camera: the commands are the same, the sign-in is another.
func newTPAP(s Spec) *tpap {
	if s.Model == "" {
		models := map[home.Kind]string{home.Plug: "P110M", home.Switch: "S505", home.Bulb: "L535", home.Camera: "C101"}
		s.Model = models[s.Kind]
	}
	if s.Locks == 0 && s.Kind != home.Camera {
		s.Locks = usualPlugLocks
	}
	a := s.Addr.As4()
	d := &tpap{
		spec: s, mac: s.hardware(net.HardwareAddr{0x3c, 0x6a, 0xd2, a[1], a[2], a[3]}), guard: newGuard(s),
		sessions: map[string]*tpapSession{},
	}
	if s.Kind == home.Camera {
		camera := s
		camera.Defects = append([]Defect{PEMKey}, s.Defects...) // it has to know the password itself, to prove it
		if !s.has(Crypt) {
			camera.Defects = append(camera.Defects, MD5)
		}
		inner := newTapocam(camera)
		inner.mac = d.mac
		d.unit = inner
	} else {
		inner := &smart{spec: s, mac: d.mac, door: noDoor{}}
		inner.hold(s.Username, s.Password)
		d.unit = inner
	}
	return d
}

// noDoor stands where a unit would have a web server of an older protocol.
type noDoor struct{ http.Handler }

func (noDoor) close() {}

func (d *tpap) id() home.DeviceID { return idOf(d.mac) }

// port is that of HTTP for a device without TLS.
func (d *tpap) port() uint16 {
	if d.spec.Kind == home.Camera {
		return webPort(home.TPAP.Port())
	}
	return webPort(home.KLAP2.Port())
}

// announcement is empty: no mDNS is known of these devices.
func (d *tpap) announcement() announcement { return announcement{} }

func (d *tpap) holds() (string, home.Secret) { return d.unit.holds() }

func (d *tpap) hold(username string, password home.Secret) {
	d.unit.hold(username, password)
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.sessions)
	d.begun = nil
}

func (d *tpap) signIns() (wrong, locks int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.guard.wrong, d.guard.locks
}

func (d *tpap) plug() (socket, error) {
	d.mu.Lock()
	clear(d.sessions) // a session does not survive being switched off
	d.begun = nil
	d.mu.Unlock()
	if d.spec.Kind != home.Camera {
		return plugWeb(d.spec, d.port(), d, nil)
	}
	t, err := selfSigned("TPRI-DEVICE")
	if err != nil {
		return nil, err
	}
	return plugWeb(d.spec, d.port(), d, t)
}

// about is the device's description of this protocol, in discovery and in answer to a request.
func (d *tpap) about() map[string]any {
	tls := 0
	if d.spec.Kind == home.Camera {
		tls = 1
	}
	pake := []int{2}
	if username, _ := d.unit.holds(); username == "" {
		pake = []int{0}
	}
	return map[string]any{"tls": tls, "port": d.port(), "dac": 0, "noc": tls, "pake": pake, "user_hash_type": 0}
}

func (d *tpap) statement() tdpStatement {
	username, _ := d.holds()
	typ := map[home.Kind]string{
		home.Plug: "SMART.TAPOPLUG", home.Switch: "SMART.TAPOSWITCH", home.Bulb: "SMART.TAPOBULB",
		home.Camera: "SMART.IPCAMERA",
	}[d.spec.Kind]
	open := statement(d.spec, d.mac, typ, d.spec.Model, username)
	open["owner"], open["tpap"] = ownerOf(username), d.about()
	if d.spec.Kind == home.Camera {
		open["encrypt_type"] = []string{"4"}
		open["mgt_encrypt_schm"] = map[string]any{"is_support_https": true}
		if d.spec.has(Reticent) {
			delete(open, "tpap")
		}
	} else {
		open["mgt_encrypt_schm"] = webScheme("TPAP", d.port(), 2)
	}
	return tdpStatement{port: tdpNewPort, open: open}
}

// command runs one request of a session and returns the answer.
func (d *tpap) command(ctx context.Context, raw []byte) []byte {
	if s, ok := d.unit.(*smart); ok {
		return s.answer(ctx, raw)
	}
	var q camCall
	answer := any(camReply(camBadShape, nil))
	if json.Unmarshal(raw, &q) == nil && q.Method == "multipleRequest" { // nothing else: section 11.5
		answer = d.unit.(*tapocam).dispatch(q)
	}
	return encode(answer)
}
