package sim

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// factoryAdmin is the password with which a camera leaves the factory: devices/PROTOCOLS.md, section 7.3.
const factoryAdmin = "TPL075526460603"

// tapocam is the state of a Tapo camera: devices/PROTOCOLS.md, section 10. It survives being switched off.
type tapocam struct {
	spec Spec
	mac  net.HardwareAddr

	mu       sync.Mutex // guards the fields below
	username string     // the account that the app has sent; no sign-in needs it
	password camPassword
	before   camPassword // what its cloud still knows; of a device that reverts
	since    int         // sign-ins since that was changed
	asked    int         // sign-ins that were begun
	guard    guard
	dares    map[string]dare // by cnonce
	sessions map[string]*camSession
}

// camPassword is a password as a camera keeps it: by its hash.
type camPassword struct {
	hash string
	text home.Secret // zero where it came encrypted with the vendor's key: see change
}

// dare is a sign-in that was begun.
type dare struct{ nonce, hash string }

// camSession is a sign-in that has succeeded.
type camSession struct {
	hash, cnonce, nonce string
	seq                 int  // the next
	plain               bool // firmware that seals nothing
}

func tapocamDefects() []Defect {
	return []Defect{
		Flapping, Reverting, ThirdPartyOff, MD5, Hashed, PEMKey, DERKey, Impostor, Garbled, Stubborn,
	}
}

// checkTapocam returns the errors of a spec for a Tapo camera.
func checkTapocam(s Spec) error {
	if s.Kind != home.Camera {
		return fmt.Errorf("field %q: no %s speaks tapocam: cameras do", "kind", s.Kind)
	}
	if len(s.Model) > 63 {
		return fmt.Errorf("field %q: want at most 63 bytes", "model")
	}
	return checkDefects(s.Defects, tapocamDefects())
}

// newTapocam makes a camera of a spec that check has accepted.
func newTapocam(s Spec) *tapocam {
	if s.Model == "" {
		s.Model = "C200"
	}
	a := s.Addr.As4()
	d := &tapocam{
		spec: s, mac: s.hardware(net.HardwareAddr{0x1c, 0x61, 0xb4, a[1], a[2], a[3]}), guard: newGuard(s),
		dares: map[string]dare{}, sessions: map[string]*camSession{},
	}
	d.hold(s.Username, s.Password)
	return d
}

func (d *tapocam) id() home.DeviceID { return idOf(d.mac) }

func (d *tapocam) port() uint16 { return webPort(home.TapoCam.Port()) }

// announcement is empty: no mDNS is known of these cameras.
func (d *tapocam) announcement() announcement { return announcement{} }

func (d *tapocam) holds() (string, home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.password.hash == d.hash(home.NewSecret(factoryAdmin)) {
		return "", home.Secret{}
	}
	return d.username, d.password.text
}

func (d *tapocam) checks(password home.Secret) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.password.hash == d.hash(password)
}

// hold replaces the password; without an account it is the factory's. All sessions end, as on real cameras.
func (d *tapocam) hold(username string, password home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if username == "" {
		password = home.NewSecret(factoryAdmin)
	}
	d.username, d.password, d.before = username, d.made(password), camPassword{}
	clear(d.sessions)
	clear(d.dares)
}

func (d *tapocam) signIns() (wrong, locks int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.guard.wrong, d.guard.locks
}

// plug opens HTTPS with the two suites between which the driver's TLS options decide.
func (d *tapocam) plug() (socket, error) {
	t, err := selfSigned(d.spec.Name, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	clear(d.sessions) // a session does not survive being switched off
	clear(d.dares)
	d.mu.Unlock()
	return plugWeb(d.spec, webPort(home.TapoCam.Port()), d, t)
}

// run runs one method of one who is signed in. Codes are those of devices/PROTOCOLS.md, section 10.
func (d *tapocam) run(method string, params json.RawMessage) (any, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spec.opened.ran(method)
	if result, ok := d.query(method); ok {
		return result, 0
	}
	switch method {
	case "getDeviceInfo":
		mac := d.spec.stated(d.mac)
		return map[string]any{"device_info": map[string]any{"basic_info": map[string]any{
			"device_type": "SMART.IPCAMERA", "device_model": d.spec.Model, "device_alias": d.spec.Name,
			"sw_version": "1.3.11 Build 231117 Rel.36549n",
			"mac":        dashed(mac),
			"dev_id":     "80" + strings.Repeat(hex.EncodeToString(mac)[6:], 6) + "00",
		}}}, 0
	case "scanApList":
		scan := map[string]any{"ap_list": []any{}, "wpa3_supported": "true"}
		switch der := unitDER(); {
		case d.spec.has(PEMKey):
			scan["public_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		case d.spec.has(DERKey):
			scan["publicKey"] = base64.StdEncoding.EncodeToString(der)
		}
		return map[string]any{"onboarding": map[string]any{"scan": scan}}, 0
	case "changeAdminPassword":
		return nil, d.change(params)
	case "changeThirdAccount": // its RTSP account, which nothing here reads
		return nil, 0
	}
	return nil, -40210
}
