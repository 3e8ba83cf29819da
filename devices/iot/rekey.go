package iot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// Codes of the devices: tp-link-devices.md, 2.1.
const (
	codeNotBound     = -8
	codeBulbNotBound = -4002
	codeNoServer     = -21
	codeBusy         = -32
)

// maxReply is more than any device says: a strip of six with all its sockets needs 2 KiB.
const maxReply = 64 << 10

// Rekey takes the device from the account and gives it back to it with the new password, which the device tries at its cloud
// by itself. It asks whose the device is first. Where the device does not take the new password, it gets the old one again.
//
// A device from which ctx, or the power, was taken in the midst is bound to nobody: Probe says so, and Rekey goes on there.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: errors.New("this hub was never told the new password"),
			Hint: "sign in with the new password, with: rekeyd login",
		}
	}
	if d.o.NoCleartext {
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: errors.New("it takes its password only as good as in the clear"),
			Hint: "allow passwords in the clear for this network, or add the device again in its own app",
		}
	}
	s, err := d.ask(ctx, dev)
	switch {
	case err != nil:
		return fmt.Errorf("ask whose it is: %w", err)
	case !s.is(dev):
		return fmt.Errorf("another device answers at its address: %w", home.ErrUnreachable)
	case s.cloud == nil:
		return fmt.Errorf("it has no cloud module: %w", home.ErrRefused)
	}
	whose := s.whose(m.Account.Email)
	switch whose {
	case home.Ours:
		d.forget(dev.ID)
		code, err := d.do(ctx, dev, s.module, "unbind", struct{}{}, d.o.Timeout)
		if err = outcome("unbind", code, err); err != nil && code != codeNotBound && code != codeBulbNotBound {
			return err
		}
	case home.Unbound:
	default:
		return home.ErrForeign
	}
	return d.bind(ctx, dev, s.module, whose, m)
}

// bind gives the device, which is bound to nobody now, the new credential.
func (d *Driver) bind(ctx context.Context, dev home.Device, module string, was home.Match, m home.Move) error {
	code, err := d.give(ctx, dev, module, m.Account, m.To)
	b := bond{account: m.Account.ID, epoch: m.To.Epoch}
	switch {
	case err == nil && code == 0:
		d.remember(dev.ID, b)
		return nil
	case err == nil && code == codeNoServer:
		b.offline = true
		d.remember(dev.ID, b)
		return fmt.Errorf("bind: code %d: %w", code, home.ErrOffline)
	}
	err = outcome("bind", code, err)
	if !errors.Is(err, home.ErrRefused) || was != home.Ours || m.From.Password.IsZero() {
		return err
	}
	switch code, again := d.give(ctx, dev, module, m.Account, m.From); {
	case again == nil && code == 0:
		return fmt.Errorf("%w; it was given the old one again", err)
	default:
		return fmt.Errorf("%w; nor did it take the old one again: %w", err, outcome("bind", code, again))
	}
}

func (d *Driver) give(ctx context.Context, dev home.Device, module string, a home.Account, c home.Credential) (int, error) {
	return d.do(ctx, dev, module, "bind", struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{cmp.Or(c.Username, a.Email), c.Password.Reveal()}, d.o.BindTimeout)
}

// outcome turns what came of a command into an error of home's, nil for success. A device's own words are left out: it may
// quote what it was told.
func outcome(what string, code int, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case code == 0:
		return nil
	case code == codeBusy:
		return fmt.Errorf("%s: code %d: %w", what, code, home.ErrBusy)
	}
	return fmt.Errorf("%s: code %d: %w", what, code, home.ErrRefused)
}

// do runs one command and returns the device's code. It waits for a device that runs another, a few times.
func (d *Driver) do(ctx context.Context, dev home.Device, module, method string, args any, timeout time.Duration) (int, error) {
	request, err := json.Marshal(map[string]any{module: map[string]any{method: args}})
	if err != nil {
		return 0, fmt.Errorf("request: %w", errAnswer)
	}
	for try := 1; ; try++ {
		raw, err := d.exchange(ctx, dev, request, timeout)
		if err != nil {
			return 0, err
		}
		r, err := parseReply(raw)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		code, err := r.result(module, method, nil)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		if code != codeBusy || try == busyTries {
			return code, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
		case <-time.After(d.o.BusyPause):
		}
	}
}

// ask asks the device who it is and whose.
func (d *Driver) ask(ctx context.Context, dev home.Device) (statement, error) {
	raw, err := d.exchange(ctx, dev, []byte(question), d.o.Timeout)
	if err != nil {
		return statement{}, err
	}
	s, err := parseStatement(raw)
	if err != nil {
		return s, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	return s, nil
}

// exchange asks one question over a connection of its own. Whatever fails is home.ErrUnreachable.
func (d *Driver) exchange(ctx context.Context, dev home.Device, request []byte, timeout time.Duration) ([]byte, error) {
	if !dev.Addr.IsValid() {
		return nil, fmt.Errorf("its address is not known: %w", home.ErrUnreachable)
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	c, err := d.dialer.DialContext(ctx, "tcp", dev.Addr.String())
	if err != nil {
		return nil, lost(ctx, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := xor.WriteFrame(c, request); err != nil {
		return nil, lost(ctx, err)
	}
	raw, err := xor.ReadFrame(c, maxReply)
	switch {
	case errors.Is(err, xor.ErrSize):
		return nil, fmt.Errorf("%w: %w", home.ErrUnreachable, errAnswer)
	case err != nil:
		return nil, lost(ctx, err)
	}
	return raw, nil
}

// lost says that a device gave no answer, and why where the person can do something with it. Errors of net stop here.
func lost(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, cause)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w: no connection", home.ErrUnreachable)
	}
	return fmt.Errorf("%w: connection broke", home.ErrUnreachable)
}
