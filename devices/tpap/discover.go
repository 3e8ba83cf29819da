package tpap

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Ports of devices by the transport that they use.
const (
	plainPort = 80
	tlsPort   = 443
	highPort  = 4433
)

// Codes of devices/PROTOCOLS.md, section 11.6.
const (
	codeWrongCamera = -40401
	codeWrongPlug   = -2203
	codeLocked      = -40404
	codeSuspended   = -40408
	codeBadShape    = -40209
	codeWantsTPAP   = -40211
)

// conn is a connection to one device.
type conn struct {
	d    *Driver
	dev  home.Device
	http *post.Client

	camera bool // it speaks the cameras' form: commands in lists, MD5 where it names no hash
}

func (d *Driver) connect(dev home.Device) *conn {
	o := post.Options{TLS: usesTLS(dev), Suites: post.CameraSuites(), Timeout: d.o.Timeout, Dial: d.o.Dial}
	return &conn{d: d, dev: dev, http: post.New(dev.Addr, o), camera: dev.Kind == home.Camera || announced(dev).cameras()}
}

func (c *conn) close() { c.http.Close() }

// statement is the device's description of the protocol when it was found; empty after a restart.
type statement struct {
	Encrypt json.RawMessage `json:"encrypt_type"`
	TPAP    struct {
		TLS *int `json:"tls"`
	} `json:"tpap"`
}

func announced(dev home.Device) (s statement) {
	if json.Unmarshal([]byte(dev.Extra), &s) != nil {
		return statement{}
	}
	return s
}

// cameras reports whether the device names its encryption as cameras do, and as hubs do that speak their protocol.
func (s statement) cameras() bool {
	var list []string
	return json.Unmarshal(s.Encrypt, &list) == nil && slices.Contains(list, "4")
}

// usesTLS reports whether the device stated TLS when it was found; without a statement, its port
// decides.
func usesTLS(dev home.Device) bool {
	if tls := announced(dev).TPAP.TLS; tls != nil {
		return *tls != 0
	}
	switch dev.Addr.Port() {
	case tlsPort, highPort:
		return true
	case plainPort:
		return false
	}
	return dev.Kind == home.Camera
}

// about is a device's statement about itself before a sign-in. It is a statement and no proof.
type about struct {
	plate    nameplate.Plate // empty where the device does not answer the question
	pake     []int           // the kinds of passcode that it takes
	userHash int
	attests  bool // it wants to prove who made it, which is not checked here
}

// Kinds of passcode (devices/PROTOCOLS.md, section 11.3).
const (
	pakeDefault  = 0 // of a device without an owner
	pakePassword = 2
	pakeIOT      = 5 // the same, on some plugs
)

// unprovisioned reports whether the device takes the passcode of a device without an owner.
func (a about) unprovisioned() bool { return slices.Contains(a.pake, pakeDefault) }

// check returns the demand of the device that this driver does not fulfil.
func (a about) check() error {
	switch {
	case !slices.Contains(a.pake, pakePassword) && !slices.Contains(a.pake, pakeIOT):
		return unspokenf("a passcode of kind %v", a.pake)
	case a.userHash != 0 && a.userHash != 1:
		return unspokenf("its user name hashed in form %d", a.userHash)
	}
	return nil
}

// discover asks the device how one signs in, and begins no sign-in. It returns failure.ErrOtherDevice where another
// device than the one that was meant answers.
func (c *conn) discover(ctx context.Context) (about, error) {
	raw, err := c.post(ctx, map[string]any{"sub_method": "discover"})
	if err != nil {
		return about{}, err
	}
	a, err := parseAbout(raw)
	if err == nil && stated(a.plate) && !a.plate.Names(c.dev) {
		err = failure.ErrOtherDevice
	}
	return a, err
}

// post sends one step of a sign-in.
func (c *conn) post(ctx context.Context, params map[string]any) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"method": "login", "params": params})
	if err != nil {
		return nil, failure.ErrProtocol
	}
	a, err := c.http.Send(ctx, "/", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, failure.ErrProtocol
	}
	return a.Body, nil
}

// parseAbout reads the answer to discover. Some cameras do not know the question, or answer that they want this
// protocol: they take a password, as far as is known.
func parseAbout(raw []byte) (about, error) {
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			MAC  string `json:"mac"`
			TPAP *struct {
				PAKE     []int `json:"pake"`
				UserHash int   `json:"user_hash_type"`
				Attests  int   `json:"dac"`
			} `json:"tpap"`
		} `json:"result"`
	}
	if json.Unmarshal(raw, &got) != nil || got.Code == nil {
		return about{}, failure.ErrProtocol
	}
	if *got.Code == codeBadShape || *got.Code == codeWantsTPAP {
		return about{pake: []int{pakePassword}}, nil
	}
	mac := nameplate.MAC(got.Result.MAC)
	// Which code a device gives together with its data is not known: a code alone refuses nothing.
	if got.Result.TPAP == nil || mac == "" || len(got.Result.TPAP.PAKE) > 16 {
		return about{}, failure.ErrProtocol
	}
	t := got.Result.TPAP
	return about{nameplate.New(mac, "", "", home.Other), t.PAKE, t.UserHash, t.Attests != 0}, nil
}
