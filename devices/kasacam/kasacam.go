// Package kasacam is the driver for Kasa cameras: LINKIE over TLS on port 10443. Facts and their sources: devices/PROTOCOLS.md, section 5.1.
// Nothing of it was ever tried on a camera.
//
// It asks who a camera is and whose, and moves nothing: no command is known by which another password is given to one.
//
// Such a camera agrees only to ciphers with RSA key exchange. Go offers those only where they are named (since Go 1.22, and still in
// 1.26, whatever GODEBUG=tlsrsakex says); a test has a server for each that Go has.
package kasacam

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// Options are what New checks. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one question and its answer; 5 s when zero
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

// The modules of cameras, and a question for who one is and whose. They want {} where nothing is said, and never null.
const (
	cloudModule = "smartlife.cam.ipcamera.cloud"
	question    = `{"system":{"get_sysinfo":{}},"` + cloudModule + `":{"get_info":{}}}`
)

// login is the pair that all these cameras take: "admin" and its MD5. It protects nothing, and is no secret.
const login = "Basic YWRtaW46MjEyMzJmMjk3YTU3YTVhNzQzODk0YTBlNGE4MDFmYzM="

// Probe asks the camera who it is and whose. Which password it holds it does not tell.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	s, err := d.ask(ctx, dev)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	switch {
	case errors.Is(err, errAnswer):
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
		return f, nil
	case err != nil:
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "port 10443 does not answer"}
		return f, nil
	case !s.is(dev):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
		return f, nil
	}
	f.Device = s.describe(dev)
	f.Match = s.whose(c.Account.Email)
	switch f.Match {
	case home.Foreign:
		f.Verdict = home.Verdict{State: home.ForeignHeld}
	case home.Unbound:
		f.Verdict = home.Verdict{State: home.Blank}
	case home.Ours:
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: "it is bound to the account, and does not tell which password it holds"}
	default:
		f.Verdict = home.Verdict{State: home.Unsupported, Detail: "it does not tell whose it is"}
	}
	return f, nil
}

// Rekey refuses: how such a camera is given a password is not known.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, _ home.Move) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
	}
	return &home.Error{
		Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: how Kasa cameras are given one is not known", home.ErrRefused),
		Hint: fmt.Sprintf("change the password of %s in its own app", dev.ID),
	}
}

// ask asks the camera who it is and whose.
func (d *Driver) ask(ctx context.Context, dev home.Device) (statement, error) {
	l := post.New(dev.Addr, post.Options{TLS: true, Suites: post.CameraSuites(), Timeout: d.o.Timeout})
	defer l.Close()
	form := url.Values{"content": {base64.StdEncoding.EncodeToString(xor.Seal([]byte(question)))}}.Encode()
	a, err := l.Send(ctx, "/data/LINKIE2.json", http.Header{
		"Authorization": {login}, "Content-Type": {"application/x-www-form-urlencoded"},
	}, []byte(form))
	if err != nil {
		return statement{}, err
	}
	if a.Status != http.StatusOK {
		return statement{}, errAnswer
	}
	return parseStatement(open(a.Body))
}

// open returns what a camera says: sealed, or an error in the clear. That is none of base64.
func open(answer []byte) []byte {
	sealed, err := base64.StdEncoding.DecodeString(string(answer))
	if err != nil {
		return answer
	}
	return xor.Open(sealed)
}
