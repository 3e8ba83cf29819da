// Package tpap is the driver for devices whose firmware speaks TPAP only. Facts and their sources: devices/PROTOCOLS.md, section 11. Nothing of it
// was ever tried on a device.
//
// It recognises them, and says what their owner can do: such firmware speaks an older protocol, too, once Third-Party Compatibility is on.
// What they hold cannot be asked: a sign-in tries one password, and costs one try. So none is tried here.
package tpap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// Options are what New checks. The zero Options serve.
type Options struct {
	Timeout time.Duration // for one question and its answer; 5 s when zero
}

// Driver speaks to devices. It is safe for use by several goroutines.
type Driver struct{ o Options }

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Timeout < 0 {
		return nil, errors.New("tpap: timeout is not negative")
	}
	return &Driver{o}, nil
}

// question begins a sign-in no further than to be told how one signs in.
const question = `{"method":"login","params":{"sub_method":"discover"}}`

// plainPort is where devices speak HTTP without TLS.
const plainPort = 80

// errAnswer says that what came is no answer of this protocol. It never quotes what came.
var errAnswer = errors.New("no answer of this protocol")

// Probe asks the device who it is.
func (d *Driver) Probe(ctx context.Context, dev home.Device, _ home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	mac, err := d.ask(ctx, dev)
	if ctx.Err() != nil {
		return f, fmt.Errorf("probe: %w", ctx.Err())
	}
	switch {
	case errors.Is(err, errAnswer):
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "what answers at its address does not speak its protocol"}
	case err != nil:
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: fmt.Sprintf("port %d does not answer", dev.Addr.Port())}
	case !is(dev, mac):
		f.Verdict = home.Verdict{State: home.Mismatch, Detail: "another device answers at its address"}
	default:
		if k := "mac:" + mac; !slices.Contains(dev.Keys, k) {
			f.Device.Keys = append(slices.Clone(dev.Keys), k)
		}
		f.Verdict = home.Verdict{State: home.ThirdPartyOff, Detail: "its firmware speaks TPAP only, and lets no other program in"}
	}
	return f, nil
}

// Rekey refuses: how such a device is given a password is not known.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, _ home.Move) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
	}
	return &home.Error{
		Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: its firmware speaks TPAP only", home.ErrRefused),
		Hint: home.Verdict{State: home.ThirdPartyOff}.Hint(string(dev.ID)),
	}
}

// ask asks the device for its hardware address.
func (d *Driver) ask(ctx context.Context, dev home.Device) (string, error) {
	// Which ciphers such devices want is not known: those of cameras are Go's own for all but the oldest, too.
	l := post.New(dev.Addr, post.Options{TLS: dev.Addr.Port() != plainPort, Suites: post.CameraSuites(), Timeout: d.o.Timeout})
	defer l.Close()
	a, err := l.Send(ctx, "/", http.Header{"Content-Type": {"application/json"}}, []byte(question))
	if err != nil {
		return "", err
	}
	if a.Status != http.StatusOK {
		return "", errAnswer
	}
	return parse(a.Body)
}

// parse reads the answer to question: the device's hardware address, twelve hexadecimal digits.
func parse(raw []byte) (string, error) {
	var got struct {
		Code   *int `json:"error_code"`
		Result struct {
			MAC  string          `json:"mac"`
			TPAP json.RawMessage `json:"tpap"`
		} `json:"result"`
	}
	if json.Unmarshal(raw, &got) != nil || got.Code == nil || len(got.Result.TPAP) == 0 || got.Result.TPAP[0] != '{' {
		return "", errAnswer // what the code is of a device that tells all this is not known: it may be one for "sign in"
	}
	mac := strings.ToLower(strings.NewReplacer("-", "", ":", "").Replace(got.Result.MAC))
	if len(mac) != 12 || strings.Trim(mac, "0123456789abcdef") != "" || mac == "000000000000" {
		return "", errAnswer
	}
	return mac, nil
}

// is tells whether the device is the one that was meant.
func is(d home.Device, mac string) bool {
	if want, ok := strings.CutPrefix(string(d.ID), "mac-"); ok {
		return want == mac
	}
	return slices.Contains(d.Keys, "mac:"+mac)
}
