package iot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// maxReply is more than any device says: a strip of six with all its sockets needs 2 KiB.
const maxReply = 64 << 10

// errHungUp says that a connection ended where an answer could have begun.
var errHungUp = errors.New("connection broke")

// talk is a conversation with one device, over one connection as long as the device keeps it open: these devices have few, and
// some end theirs after each answer.
type talk struct {
	d    *Driver
	dev  home.Device
	conn net.Conn // nil where none is open
}

func (d *Driver) talk(dev home.Device) *talk { return &talk{d: d, dev: dev} }

func (t *talk) close() {
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// ask asks the device who it is and whose.
func (t *talk) ask(ctx context.Context) (statement, error) {
	raw, err := t.exchange(ctx, []byte(question), t.d.o.Timeout)
	if err != nil {
		return statement{}, err
	}
	s, err := parseStatement(raw)
	if err != nil {
		return s, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	return s, nil
}

// command runs one command and returns what came of it. It waits for a device that runs another, a few times.
func (t *talk) command(ctx context.Context, module, method string, args any, timeout time.Duration) (result, error) {
	request, err := json.Marshal(map[string]any{module: map[string]any{method: args}})
	if err != nil {
		return result{}, fmt.Errorf("request: %w", errAnswer)
	}
	for try := 1; ; try++ {
		raw, err := t.exchange(ctx, request, timeout)
		if err != nil {
			return result{}, err
		}
		got, err := parseReply(raw)
		if err != nil {
			return result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		r, err := got.result(module, method, nil)
		if err != nil {
			return result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
		if r.Code != codeBusy || try == busyTries {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return result{}, fmt.Errorf("%w: %w", home.ErrUnreachable, ctx.Err())
		case <-time.After(t.d.o.BusyPause):
		}
	}
}

// exchange asks one question. Whatever fails is home.ErrUnreachable. On a connection that the device has ended since the last
// answer the question is asked again on a new one: every command here may run twice.
func (t *talk) exchange(ctx context.Context, request []byte, timeout time.Duration) ([]byte, error) {
	if !t.dev.Addr.IsValid() {
		return nil, fmt.Errorf("its address is not known: %w", home.ErrUnreachable)
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	if t.conn != nil {
		if raw, err := t.once(ctx, request); !errors.Is(err, errHungUp) {
			return raw, err
		}
	}
	c, err := t.d.dial(ctx, "tcp", t.dev.Addr.String())
	if err != nil {
		return nil, lost(ctx, err)
	}
	t.conn = c
	return t.once(ctx, request)
}

// once asks one question over the open connection, and closes that unless an answer came.
func (t *talk) once(ctx context.Context, request []byte) (raw []byte, err error) {
	c := t.conn
	keep := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		if !keep() || err != nil {
			t.close()
		}
	}()
	if err := xor.WriteFrame(c, request); err != nil {
		return nil, lost(ctx, err)
	}
	raw, err = xor.ReadFrame(c, maxReply)
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
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: its answer broke off", home.ErrUnreachable)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w: no connection", home.ErrUnreachable)
	}
	return fmt.Errorf("%w: %w", home.ErrUnreachable, errHungUp)
}

// Talk passes an app's request on to the device and returns its answer. The device says first who it is: what is meant for a lamp is not
// told to whatever has its address now.
func (d *Driver) Talk(ctx context.Context, dev home.Device, _ home.Candidates, request []byte) ([]byte, error) {
	t := d.talk(dev)
	defer t.close()
	s, err := t.ask(ctx)
	if err != nil {
		return nil, err
	}
	if !s.is(dev) {
		return nil, fmt.Errorf("%w: another device answers at its address", home.ErrUnreachable)
	}
	return t.exchangeOnce(ctx, request, d.o.BindTimeout)
}

// exchangeOnce is exchange for what must not run twice: it is sent on a new connection, and not again when that breaks.
func (t *talk) exchangeOnce(ctx context.Context, request []byte, timeout time.Duration) ([]byte, error) {
	t.close()
	return t.exchange(ctx, request, timeout)
}
