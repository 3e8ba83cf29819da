package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// hub speaks to the running daemon through its socket.
type hub struct {
	state string
	http  *http.Client
}

// dialHub returns a client of the daemon whose state is in this directory. It connects with each call.
func dialHub(state string) *hub {
	var d net.Dialer
	return &hub{state: state, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", app.ControlSocket(state))
		},
	}}}
}

// call sends a request to the daemon and decodes the answer into out. An error of the daemon is returned as the same
// error.
func (h *hub) call(ctx context.Context, method, path string, in, out any) error {
	return h.do(ctx, method, path, in, func(body io.Reader) error {
		if out == nil {
			return nil
		}
		if err := json.NewDecoder(body).Decode(out); err != nil {
			return errors.New("the daemon answered no such JSON: is it of another version?")
		}
		return nil
	})
}

// do is call with a function that reads the answer.
func (h *hub) do(ctx context.Context, method, path string, in any, read func(io.Reader) error) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return err
	}
	resp, err := h.http.Do(req)
	if errors.Is(err, fs.ErrPermission) {
		return &home.Error{
			Op:   "ask the daemon",
			Err:  fmt.Errorf("this user may not open %s", app.ControlSocket(h.state)),
			Hint: "run this as the user as whom the daemon runs",
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ask the daemon: %w", ctx.Err())
	}
	if err != nil {
		return &home.Error{
			Op: "ask the daemon", Err: errNotRunning(h.state),
			Hint: "start it with: rekeyd run; or name its state with --state",
		}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var r daemon.Refusal
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			return fmt.Errorf("the daemon answered %s", resp.Status)
		}
		return refused(r)
	}
	return read(resp.Body)
}

// errNotRunning is home.ErrUnavailable with the state directory, which may be the wrong one.
func errNotRunning(state string) error {
	return fmt.Errorf("it does not run with the state in %s: %w", state, home.ErrUnavailable)
}

// refused returns the error that the daemon had.
func refused(r daemon.Refusal) error {
	return &home.Error{Op: r.Op, Device: r.Device, Err: refusal{r.Error, home.ErrorOf(r.Code)}, Hint: r.Hint}
}

// refusal is an error that travelled as text, with the sentinel it stands for.
type refusal struct {
	text     string
	sentinel error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.sentinel }
