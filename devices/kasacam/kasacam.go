// Package kasacam is the driver for Kasa cameras: LINKIE over TLS on port 10443. Facts and sources:
// devices/PROTOCOLS.md, section 5. It was never tried on a camera.
//
// It reports the identity and the owner of a camera and moves nothing: no command is known that gives one another
// password.
//
// Such a camera agrees only to ciphers with RSA key exchange. Go offers those only where they are named (since Go 1.22,
// and still in 1.26, whatever GODEBUG=tlsrsakex is); a test has a server for each that Go has.
package kasacam

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/post"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// Options are the options of New. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one request and its answer; 5 s when zero
	Dial    post.Dial     // used instead of TCP, where given
}

// Driver speaks to cameras. It is safe for use by several goroutines.
type Driver struct{ o Options }

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Timeout < 0 {
		return nil, errors.New("kasacam: timeout is not negative")
	}
	return &Driver{o}, nil
}

// identityRequest asks a camera for its identity and its owner. Cameras want {} for no arguments, and never null.
const identityRequest = `{"system":{"get_sysinfo":{}},"smartlife.cam.ipcamera.cloud":{"get_info":{}}}`

// login is the pair that all these cameras accept: "admin" and its MD5. It protects nothing, and is no secret.
const login = "Basic YWRtaW46MjEyMzJmMjk3YTU3YTVhNzQzODk0YTBlNGE4MDFmYzM="

// Probe asks the camera for its identity and its owner. A camera does not reveal which password it holds.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	id, err := d.identify(ctx, dev)
	if err != nil {
		return failure.Finding(ctx, f, err)
	}
	f.Device = id.Describe(dev)
	switch f.Match = id.owner(c.Account.Email); f.Match {
	case home.Foreign:
		f.Verdict = home.Verdict{State: home.ForeignHeld}
	case home.Unbound:
		const detail = "it is bound to no account, and no command is known that binds it"
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: detail} // not home.Blank: that can be moved
	case home.Ours:
		const detail = "it is bound to the account, and does not reveal which password it holds"
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: detail}
	default:
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: "it does not state its owner"}
	}
	return f, nil
}

// Rekey refuses.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, _ home.Move) error {
	if ctx.Err() != nil {
		return failure.Unreachable(ctx.Err())
	}
	return failure.Rekey(dev.ID, failure.ErrNoCommand)
}

// identify asks the camera for its identity and its owner. It returns failure.ErrOtherDevice where another one answers.
func (d *Driver) identify(ctx context.Context, dev home.Device) (identity, error) {
	o := post.Options{TLS: true, Suites: post.CameraSuites(), Timeout: d.o.Timeout, Dial: d.o.Dial}
	c := post.New(dev.Addr, o)
	defer c.Close()
	content := base64.StdEncoding.EncodeToString(xor.Seal([]byte(identityRequest)))
	a, err := c.Send(ctx, "/data/LINKIE2.json", http.Header{
		"Authorization": {login}, "Content-Type": {"application/x-www-form-urlencoded"},
	}, []byte(url.Values{"content": {content}}.Encode()))
	if err != nil {
		return identity{}, err
	}
	if a.Status != http.StatusOK {
		return identity{}, failure.ErrProtocol
	}
	id, err := parseIdentity(open(a.Body))
	if err == nil && !id.Names(dev) {
		err = failure.ErrOtherDevice
	}
	return id, err
}

// open returns the text of an answer: sealed, or an error in clear text, which is not base64.
func open(answer []byte) []byte {
	sealed, err := base64.StdEncoding.DecodeString(string(answer))
	if err != nil {
		return answer
	}
	return xor.Open(sealed)
}
