package sim

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// ncFactory is the password of its web page with which a camera leaves the factory: devices/PROTOCOLS.md, section 12.1.
const ncFactory = "admin"

// ncModels maps each model to whether it speaks TLS, and takes a hash of the password of its web page. Never changed.
var ncModels = map[string]bool{
	"NC200": false, "NC210": false, "NC220": false, "NC230": false, "NC250": false, "NC260": true, "NC450": true,
}

// ncCamera is a camera of the NC class: devices/PROTOCOLS.md, section 12. Its state survives being switched off.
type ncCamera struct {
	spec  Spec
	cloud Cloud
	log   *slog.Logger
	mac   net.HardwareAddr

	mu       sync.Mutex // guards the fields below; never held over I/O
	username string
	password home.Secret
	status   int    // at its cloud; 0 while it has not tried the pair
	token    string // of the session; a camera has one
	wrong    int    // sign-ins that were refused
}

// The states at its cloud: section 12.2.
const (
	ncConnecting = iota + 1
	ncConnected
	ncOffline
	ncRefused
)

func ncDefects() []Defect {
	return []Defect{Garbled, Impostor, Stubborn, Offline, Forgetful, Refused, Clinging}
}

func checkNC(s Spec) error {
	if s.Kind != home.Camera {
		return fmt.Errorf("field %q: no %s speaks nc: cameras do", "kind", s.Kind)
	}
	if _, known := ncModels[s.Model]; !known && s.Model != "" {
		return fmt.Errorf("field %q: want NC200, NC210, NC220, NC230, NC250, NC260 or NC450", "model")
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: that an nc device locks is not known", "locks")
	}
	return checkDefects(s.Defects, ncDefects())
}

func newNC(o Options, s Spec) *ncCamera {
	if s.Model == "" {
		s.Model = "NC220"
	}
	if s.DevicePassword.IsZero() {
		s.DevicePassword = home.NewSecret(ncFactory)
	}
	a := s.Addr.As4()
	d := &ncCamera{
		spec: s, cloud: o.Cloud, log: o.Log, mac: s.hardware(net.HardwareAddr{0x18, 0xa6, 0xf7, a[1], a[2], a[3]}),
	}
	d.hold(s.Username, s.Password)
	return d
}

// named reports whether the camera is announced under the name of its model, as it leaves the factory.
func (d *ncCamera) named() bool { return strings.HasPrefix(d.spec.Name, d.spec.Model) }

// id is the name that a hub gives the camera, which does not see its hardware address before it is signed in.
func (d *ncCamera) id() home.DeviceID {
	if !d.named() {
		return home.DeviceID("nc-" + strings.ReplaceAll(d.spec.Addr.String(), ".", "-"))
	}
	sum := sha256.Sum256([]byte("mdns:" + strings.ToLower(d.spec.Name) + "._http._tcp"))
	return home.DeviceID("mdns-" + hex.EncodeToString(sum[:8]))
}

func (d *ncCamera) tls() bool { return ncModels[d.spec.Model] }

func (d *ncCamera) port() uint16 {
	if d.tls() {
		return webPort(443)
	}
	return webPort(home.NC.Port())
}

// announcement is that of its web page, under the camera's name.
func (d *ncCamera) announcement() announcement {
	return announcement{
		instance: d.spec.Name, service: "_http._tcp.local.", addr: d.spec.Addr, port: d.port(),
		host: strings.ToLower(d.spec.Model) + "-" + hex.EncodeToString(d.mac[3:]) + ".local.",
	}
}

func (d *ncCamera) plug() (socket, error) {
	d.mu.Lock()
	d.status, d.token = 0, ""
	d.mu.Unlock()
	var t *tls.Config
	if d.tls() {
		var err error
		if t, err = selfSigned(d.spec.Name, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); err != nil {
			return nil, err
		}
	}
	return plugWeb(d.spec, d.port(), d, t)
}

func (d *ncCamera) holds() (string, home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.username, d.password
}

func (d *ncCamera) hold(username string, password home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.username, d.password, d.status = username, password, 0
}

func (d *ncCamera) endSession() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = 0
}

func (d *ncCamera) signIns() (wrong, locks int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrong, 0
}

// sent returns the password of the web page as this generation receives it.
func (d *ncCamera) sent() string {
	b64 := base64.StdEncoding.EncodeToString([]byte(d.spec.DevicePassword.Reveal()))
	if !d.tls() {
		return b64
	}
	sum := md5.Sum([]byte(b64))
	return hex.EncodeToString(sum[:])
}

// trySignIn signs the camera in to its cloud with its pair, and returns its status there.
func (d *ncCamera) trySignIn(ctx context.Context) int {
	d.mu.Lock()
	username, password, status := d.username, d.password, d.status
	d.mu.Unlock()
	if username == "" || status != 0 {
		return max(status, ncConnecting)
	}
	status = d.signIn(ctx, username, password)
	d.mu.Lock()
	defer d.mu.Unlock()
	if status != ncOffline && d.username == username && d.password == password {
		d.status = status
	}
	return status
}

// signIn returns the status after a sign-in with a pair.
func (d *ncCamera) signIn(ctx context.Context, username string, password home.Secret) int {
	first := username == d.spec.Username && password.Equal(d.spec.Password)
	switch {
	case d.spec.has(Offline):
		return ncOffline
	case d.spec.has(Refused) && first, d.spec.has(Stubborn) && !first:
		return ncRefused
	case d.cloud == nil:
		return ncConnected
	}
	ctx, stop := context.WithTimeout(ctx, signInTime)
	defer stop()
	switch err := d.cloud.SignIn(ctx, username, password); {
	case errors.Is(err, home.ErrCredential):
		return ncRefused
	case err != nil:
		d.log.Debug("camera cannot reach its cloud", "err", err)
		return ncOffline
	}
	return ncConnected
}
