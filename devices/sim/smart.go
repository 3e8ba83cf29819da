package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// smart is the state of a SMART device: devices/PROTOCOLS.md, section 9. It survives being switched off.
type smart struct {
	spec Spec
	mac  net.HardwareAddr
	door door

	mu       sync.Mutex // guards the fields below
	username string
	password home.Secret
	before   pair // what its cloud still knows, of a device that reverts
	asked    int  // requests since it was given something else
	on       bool
}

// door is the web server of a SMART device: one a transport.
type door interface {
	http.Handler
	close()
}

// pair is what a device holds; the zero pair of none.
type pair struct {
	username string
	password home.Secret
}

func smartDefects() []Defect {
	return []Defect{Flapping, Reverting, ThirdPartyOff, OneRequest, Impostor, Garbled, Stubborn, Bare}
}

// checkSmart returns the errors of a spec for KLAP 2 or smart-aes.
func checkSmart(s Spec) error {
	if s.Kind == home.Camera {
		return fmt.Errorf("field %q: no camera speaks %s", "kind", s.Protocol)
	}
	if len(s.Model) > 63 {
		return fmt.Errorf("field %q: want at most 63 bytes", "model")
	}
	if s.Protocol == home.SmartAES {
		return checkDefects(s.Defects, smartAESDefects())
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: a device of this protocol does not lock", "locks")
	}
	return checkDefects(s.Defects, smartDefects())
}

// newSmart makes a SMART device behind KLAP 2 or smart-aes.
func newSmart(s Spec) *smart {
	if s.Model == "" {
		s.Model = map[home.Kind]string{home.Plug: "P110", home.Switch: "S500D", home.Bulb: "L530"}[s.Kind]
	}
	a := s.Addr.As4()
	d := &smart{
		spec: s, mac: s.hardware(net.HardwareAddr{0x5c, 0xe9, 0x31, a[1], a[2], a[3]}), username: s.Username,
		password: s.Password,
	}
	if s.Protocol == home.SmartAES {
		d.door = &securePass{defect: s.has, holds: d.holds, answer: d.answer, guard: newGuard(s), opened: s.opened}
		return d
	}
	d.door = &klap{defect: s.has, holds: d.holds, answer: d.answer, opened: s.opened}
	return d
}

func (d *smart) id() home.DeviceID { return idOf(d.mac) }

func (d *smart) port() uint16 { return webPort(home.KLAP2.Port()) }

func (d *smart) announcement() announcement { return announcement{} }

// holds returns the credential that the device holds.
func (d *smart) holds() (string, home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.username, d.password
}

func (d *smart) hold(username string, password home.Secret) {
	d.mu.Lock()
	d.username, d.password, d.before, d.asked = username, password, pair{}, 0
	d.mu.Unlock()
	d.door.close()
}

func (d *smart) signIns() (wrong, locks int) {
	if g, ok := d.door.(interface{ signIns() (wrong, locks int) }); ok {
		return g.signIns()
	}
	return 0, 0
}

func (d *smart) plug() (socket, error) {
	d.door.close() // a session does not survive being switched off
	return plugWeb(d.spec, webPort(home.KLAP2.Port()), d.door, nil)
}

// smartRequest is one request, or one of a multipleRequest.
type smartRequest struct {
	Method string
	Params json.RawMessage
}

// Codes of devices/PROTOCOLS.md, section 9.3.
const (
	smartUnknown   = -1002
	smartUndecoded = -1003
	smartBadParams = -1008
)

// answer runs one request.
func (d *smart) answer(_ context.Context, raw []byte) []byte {
	var r smartRequest
	of, code := any(nil), smartUndecoded
	if json.Unmarshal(raw, &r) == nil && r.Method != "" {
		if r.Method == "multipleRequest" {
			of, code = d.multiple(r.Params)
		} else {
			of, code = d.run(r.Method, r.Params)
		}
	}
	return encode(result(code, of))
}

// run runs one method. A device that reverts has, at the third request after a change, what its cloud knows again.
func (d *smart) run(method string, params json.RawMessage) (any, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spec.opened.ran(method)
	if d.before.username != "" {
		if d.asked++; d.asked >= 3 {
			d.username, d.password, d.before = d.before.username, d.before.password, pair{} // its cloud has overwritten it
		}
	}
	if result, ok := d.query(method); ok {
		return result, 0
	}
	switch method {
	case "set_device_info":
		var p struct {
			On *bool `json:"device_on"`
		}
		if json.Unmarshal(params, &p) != nil || p.On == nil {
			return nil, smartBadParams
		}
		d.on = *p.On
		return nil, 0
	case "device_reboot":
		return nil, 0
	case "set_qs_info":
		return nil, d.setUp(params)
	}
	return nil, smartUnknown
}

// setUp gives the device another account; d.mu is held. It answers as an L900 did: with an error, though it has taken
// it.
func (d *smart) setUp(params json.RawMessage) int {
	var p struct {
		Account  *struct{ Username, Password string }
		Time     map[string]any
		Wireless json.RawMessage
	}
	if json.Unmarshal(params, &p) != nil || p.Account == nil || p.Time["timestamp"] == nil {
		return smartBadParams
	}
	if p.Wireless != nil {
		d.spec.opened.ran("joined another network") // a test fails where it appears
		return -1201
	}
	username, err1 := base64.StdEncoding.DecodeString(p.Account.Username)
	password, err2 := base64.StdEncoding.DecodeString(p.Account.Password)
	if err1 != nil || err2 != nil || len(username) == 0 {
		return smartBadParams
	}
	if d.spec.has(Stubborn) {
		return smartUndecoded
	}
	if d.spec.has(Reverting) {
		d.before, d.asked = pair{d.username, d.password}, 0
	}
	d.username, d.password = string(username), home.SecretBytes(password)
	return smartUndecoded
}
