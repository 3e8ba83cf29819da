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
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// maxReply is more than any device sends: a strip of six with all its sockets needs 2 KiB.
const maxReply = 64 << 10

// errClosed means that a connection ended where an answer could have begun.
var errClosed = errors.New("connection broke")

// conn is a conversation with one device over port 9999. It keeps one TCP connection for as long as the device does:
// these devices have few, and some close theirs after each answer.
type conn struct {
	d   *Driver
	dev home.Device
	tcp net.Conn // nil where none is open
}

func (d *Driver) connect(dev home.Device) *conn { return &conn{d: d, dev: dev} }

func (c *conn) close() {
	if c.tcp != nil {
		_ = c.tcp.Close()
		c.tcp = nil
	}
}

// identify asks the device for its identity and its owner. It returns failure.ErrOtherDevice where another one answers.
func (c *conn) identify(ctx context.Context) (identity, error) {
	raw, err := c.exchange(ctx, []byte(identityRequest), c.d.o.Timeout)
	if err != nil {
		return identity{}, err
	}
	id, err := parseIdentity(raw)
	if err != nil {
		return identity{}, failure.Unreachable(err)
	}
	return id, id.check(c.dev)
}

// command runs one command and returns its result.
func (c *conn) command(ctx context.Context, module, method string, args any, timeout time.Duration) (result, error) {
	exchange := func(ctx context.Context, request []byte) ([]byte, error) { return c.exchange(ctx, request, timeout) }
	_, r, err := runCommand(ctx, exchange, c.d.o.BusyPause, module, method, args)
	return r, err
}

// runCommand runs one command and returns the whole reply and the result. It repeats the request a few times while the
// device runs another command.
func runCommand(
	ctx context.Context,
	exchange func(context.Context, []byte) ([]byte, error),
	pause time.Duration,
	module, method string,
	args any,
) (reply, result, error) {
	request, err := json.Marshal(map[string]any{module: map[string]any{method: args}})
	if err != nil {
		return nil, result{}, fmt.Errorf("%s: the request cannot be encoded", method)
	}
	for try := 1; ; try++ {
		raw, err := exchange(ctx, request)
		if err != nil {
			return nil, result{}, err
		}
		all, err := parseReply(raw)
		if err != nil {
			return nil, result{}, failure.Unreachable(err)
		}
		r, err := all.result(module, method, nil)
		if err != nil {
			return nil, result{}, failure.Unreachable(err)
		}
		if r.Code != codeBusy || try == busyTries {
			return all, r, nil
		}
		select {
		case <-ctx.Done():
			return nil, result{}, failure.Unreachable(ctx.Err())
		case <-time.After(pause):
		}
	}
}

// exchange sends one request and returns its answer. Every error is home.ErrUnreachable. On a connection that the
// device has closed since the last answer the request is sent again on a new one: every command here may run twice.
func (c *conn) exchange(ctx context.Context, request []byte, timeout time.Duration) ([]byte, error) {
	if !c.dev.Addr.IsValid() {
		return nil, fmt.Errorf("its address is not known: %w", home.ErrUnreachable)
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	if c.tcp != nil {
		if raw, err := c.exchangeOpen(ctx, request); !errors.Is(err, errClosed) {
			return raw, err
		}
	}
	tcp, err := c.d.dial(ctx, "tcp", c.dev.Addr.String())
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	c.tcp = tcp
	return c.exchangeOpen(ctx, request)
}

// exchangeOnce is exchange for a request that must not run twice: it is sent on a new connection, and not repeated when
// that breaks.
func (c *conn) exchangeOnce(ctx context.Context, request []byte, timeout time.Duration) ([]byte, error) {
	c.close()
	return c.exchange(ctx, request, timeout)
}

// exchangeOpen sends one request over the open connection, and closes that unless an answer came.
func (c *conn) exchangeOpen(ctx context.Context, request []byte) (raw []byte, err error) {
	tcp := c.tcp
	alive := context.AfterFunc(ctx, func() { _ = tcp.Close() })
	defer func() {
		if !alive() || err != nil {
			c.close()
		}
	}()
	if err := xor.WriteFrame(tcp, request); err != nil {
		return nil, unreachable(ctx, err)
	}
	raw, err = xor.ReadFrame(tcp, maxReply)
	switch {
	case errors.Is(err, xor.ErrSize):
		return nil, failure.Unreachable(failure.ErrProtocol)
	case err != nil:
		return nil, unreachable(ctx, err)
	}
	return raw, nil
}

// unreachable returns home.ErrUnreachable with the reason. Errors of net stop here.
func unreachable(ctx context.Context, err error) error {
	op, isOp := errors.AsType[*net.OpError](err)
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded) && !(isOp && op.Op == "dial"):
		return failure.Unreachable(home.ErrSlow)
	case cause != nil:
		return failure.Unreachable(cause)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: its answer broke off", home.ErrUnreachable)
	case isOp && op.Op == "dial":
		return fmt.Errorf("%w: no connection", home.ErrUnreachable)
	}
	return failure.Unreachable(errClosed)
}

// Relay passes an app's request on to the device and returns its answer. The device identifies itself first: a request
// for a lamp does not go to another device that has its address now.
func (d *Driver) Relay(ctx context.Context, dev home.Device, _ home.Candidates, request []byte) ([]byte, error) {
	c := d.connect(dev)
	defer c.close()
	if _, err := c.identify(ctx); err != nil {
		return nil, err
	}
	return c.exchangeOnce(ctx, request, d.o.BindTimeout)
}
