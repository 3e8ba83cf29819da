package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// iot is the state of a device of the iot protocol. It survives being switched off.
type iot struct {
	spec  Spec
	model model
	mac   net.HardwareAddr
	cloud Cloud
	log   *slog.Logger
	wake  chan struct{} // there may be something to sign in

	mu            sync.Mutex // guards the fields below; never held over I/O
	account       account
	connected     bool // the cloud has taken the pair since the device was switched on
	busy          bool // a cloud command is running
	cloudCommands int
	server        string
	alias         string
	relay         int
	light         light        // of a bulb
	out           *net.UDPConn // where to answer broadcasts from; nil while off
}

// account is the account that a device was bound with.
type account struct {
	username string
	password home.Secret
	bound    bool // else the pair is yet to be tried: the cloud could not be reached when the device was given it
	turn     int  // counts the binds, so that the outcome of an older sign-in is dropped
}

// newIOT makes a device of a spec that check has accepted. Its hardware address is made of its address.
func newIOT(o Options, s Spec) *iot {
	m, err := modelOf(s.Kind, s.Model)
	if err != nil {
		panic("a spec that was checked: " + err.Error())
	}
	a := s.Addr.As4()
	d := &iot{
		spec: s, model: m, cloud: o.Cloud, log: o.Log, wake: make(chan struct{}, 1),
		mac:    s.hardware(net.HardwareAddr{0x50, 0xc7, 0xbf, a[1], a[2], a[3]}),
		server: "n-devs.tplinkcloud.com", alias: s.Name,
		light: light{ColorTemp: 2700, Brightness: 50, Mode: "normal"},
	}
	d.hold(s.Username, s.Password)
	return d
}

func (d *iot) id() home.DeviceID { return idOf(d.mac) }

func (d *iot) port() uint16 { return home.IOT.Port() }

func (d *iot) holds() (string, home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.account.bound {
		return "", home.Secret{}
	}
	return d.account.username, d.account.password
}

// hold replaces the account of the device, as its app does.
func (d *iot) hold(username string, password home.Secret) {
	d.mu.Lock()
	d.account = account{username: username, password: password, bound: username != "", turn: d.account.turn + 1}
	d.connected = username != "" && d.online()
	d.mu.Unlock()
	d.poke()
}

// online reports whether the device has a session with its cloud as soon as it is on, and need not sign in.
func (d *iot) online() bool { return d.cloud == nil && !d.spec.has(Offline) }

func (d *iot) endSession() {
	d.mu.Lock()
	d.connected = d.account.bound && d.online()
	d.mu.Unlock()
	d.poke()
}

func (d *iot) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// sysinfo is the answer to get_sysinfo.
func (d *iot) sysinfo() map[string]any {
	mac := d.spec.stated(d.mac)
	unit := func(what string) string {
		sum := sha256.Sum256([]byte(what + mac.String()))
		return strings.ToUpper(hex.EncodeToString(sum[:16]))
	}
	d.mu.Lock()
	alias, relay, state := d.alias, d.relay, d.lightState()
	d.mu.Unlock()
	info := map[string]any{
		"err_code": 0, "sw_ver": d.model.sw, "hw_ver": d.model.hw, "model": d.model.full, "alias": alias, "rssi": -47,
		"deviceId": "8006" + unit("device") + unit("more")[:4], "hwId": unit("hw"), "oemId": unit("oem"),
		"longitude_i": 0, "latitude_i": 0, "active_mode": "none",
	}
	maps.Copy(info, d.model.extra)
	switch d.model.kind {
	case home.Bulb:
		info["mic_type"], info["mic_mac"] = "IOT.SMARTBULB", strings.ToUpper(hex.EncodeToString(mac))
		info["description"], info["is_factory"] = d.model.title, false
		info["light_state"] = state
	case home.Camera:
		username, _ := d.holds()
		info["type"], info["mac"], info["bind_status"] = "IOT.IPCAMERA", strings.ToUpper(mac.String()), username != ""
		return map[string]any{"err_code": 0, "system": info} // they nest it
	default:
		info["type"], info["mac"] = "IOT.SMARTPLUGSWITCH", strings.ToUpper(mac.String())
		info["dev_name"], info["relay_state"] = d.model.title, relay
		info["on_time"], info["led_off"], info["updating"] = 0, 0, 0
	}
	return info
}

// cloudInfo is the answer to get_info. A device that could not try a pair yet states its username with binded 0.
func (d *iot) cloudInfo() map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := map[string]any{
		"err_code": 0, "username": d.account.username, "server": d.server, "binded": 0, "cld_connection": 0,
		"illegalType": -1, "stopConnect": -1, "tcspStatus": -1, "fwDlPage": "", "tcspInfo": "", "fwNotifyType": -1,
	}
	if d.account.bound || d.account.username != "" && d.spec.has(Boastful) {
		info["binded"] = 1
	}
	if d.connected {
		info["cld_connection"], info["illegalType"], info["stopConnect"], info["tcspStatus"] = 1, 0, 0, 1
	}
	return info
}

// call runs one method of the cloud module.
func (d *iot) call(ctx context.Context, method string, args json.RawMessage) any {
	if d.model.kind == home.Camera && method != "get_info" {
		return d.model.noMember() // whether cameras can be bound this way is not known
	}
	switch method {
	case "get_info":
		return d.cloudInfo()
	case "bind":
		var a struct{ Username, Password string }
		if json.Unmarshal(args, &a) != nil || a.Username == "" || a.Password == "" {
			return badArgument
		}
		return d.alone(func() any { return d.bind(ctx, a.Username, home.NewSecret(a.Password)) })
	case "unbind":
		return d.alone(d.unbind)
	case "set_server_url":
		var a struct{ Server string }
		if json.Unmarshal(args, &a) != nil || a.Server == "" || len(a.Server) > 255 {
			return badArgument
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.server = a.Server
		return done
	case "get_intl_fw_list":
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.connected {
			return noServer
		}
		return map[string]any{"fw_list": []any{}, "err_code": 0}
	}
	return d.model.noMember()
}

// done is never changed.
var done = struct {
	Code int `json:"err_code"`
}{}

// alone runs a command that no other may run beside.
func (d *iot) alone(f func() any) any {
	d.mu.Lock()
	d.cloudCommands++
	if d.busy || d.spec.has(Busy) && d.cloudCommands%2 == 1 {
		d.mu.Unlock()
		return otherCmd
	}
	d.busy = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.busy = false
		d.mu.Unlock()
		d.poke() // a sign-in may have waited for this
	}()
	return f()
}

// bind has the device sign in with the pair before it keeps it. A device that is bound already takes another pair, too:
// what real ones do there is not known.
func (d *iot) bind(ctx context.Context, username string, password home.Secret) any {
	d.mu.Lock()
	d.account.turn++
	turn := d.account.turn
	d.mu.Unlock()
	if first := username == d.spec.Username && password.Equal(d.spec.Password); d.spec.has(Stubborn) && !first {
		return badLogin
	}
	err := d.signIn(ctx, username, password)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.spec.has(Forgetful):
		return done
	case d.account.turn != turn:
		return otherCmd // it was given something else meanwhile
	case err == nil:
		d.account = account{username: username, password: password, bound: true, turn: turn}
		d.connected = true
		return done
	case errors.Is(err, home.ErrCredential):
		return badLogin
	}
	d.account = account{username: username, password: password, turn: turn}
	d.connected = false
	return noServer
}

// unbind removes the account of the device.
func (d *iot) unbind() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.account.bound
	d.account = account{turn: d.account.turn + 1}
	d.connected = false
	if !was {
		return d.model.notBound()
	}
	return done
}
