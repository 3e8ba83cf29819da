package tpap

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// errOrder is the failure of a move without an order of the owner.
var errOrder = fmt.Errorf("%w: no command is known that gives a TPAP device another password", home.ErrRefused)

// Rekey tries the commands of the older protocols inside a session, where the owner ordered it (m.Try): that a device
// takes them is a guess. The move is done once the device has accepted the new credential in a sign-in of its own.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	err := d.rekey(ctx, dev, m)
	if u, ok := errors.AsType[unspoken](err); ok {
		err = fmt.Errorf("%w: %w", home.ErrRefused, u)
	}
	if errors.Is(err, home.ErrRefused) {
		hint := home.Verdict{State: home.ThirdPartyOff}.Hint(string(dev.ID))
		return &home.Error{Op: "rekey", Device: dev.ID, Err: err, Hint: hint}
	}
	return failure.Rekey(dev.ID, err)
}

// rekey opens a session with the old credential, sends the commands of the older protocols, and verifies by a new sign-
// in. It costs at least two counted sign-ins.
func (d *Driver) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	switch {
	case ctx.Err() != nil:
		return failure.Unreachable(ctx.Err())
	case !m.Try:
		return errOrder
	case m.To.Password.IsZero():
		return failure.ErrNoPassword
	case dev.Claims(m.Account.Email) == home.Foreign:
		return home.ErrForeign
	}
	conn := d.connect(dev)
	defer conn.close()
	about, err := conn.discover(ctx)
	if err != nil {
		return err
	}
	if about.unprovisioned() {
		return fmt.Errorf("%w: it has no owner, and only its app can set it up", home.ErrRefused)
	}
	s, err := conn.signIn(ctx, about, conn.keysOfMove(m))
	if err != nil {
		return err
	}
	defer s.end()
	if _, err := s.identify(ctx); err != nil {
		return err
	}
	if s.key.Password.Equal(m.To.Password) {
		return nil
	}
	code, err := s.change(ctx, m)
	if err != nil && (ctx.Err() != nil || errors.Is(err, home.ErrRefused)) {
		return err
	}
	s.end()
	// Neither the answer nor its absence shows which credential the device holds now.
	return conn.verify(ctx, m, code)
}

// keysOfMove returns the credentials by which a device may be opened that is to be moved.
func (c *conn) keysOfMove(m home.Move) []keyring.Key {
	known := m.Known
	if m.From.Epoch != 0 || len(known) == 0 {
		known = []home.Credential{m.From, m.To}
	}
	return c.keys(home.Candidates{Account: m.Account, Credentials: known})
}

// verify signs in with the new credential. The device answers with a new salt where it stores another password.
func (c *conn) verify(ctx context.Context, m home.Move, code int) error {
	about, err := c.discover(ctx)
	if err != nil {
		return err
	}
	s, err := c.signIn(ctx, about, c.keys(home.Candidates{Account: m.Account, Credentials: []home.Credential{m.To}}))
	if errors.Is(err, failure.ErrMismatch) {
		return fmt.Errorf("%w: code %d to the command, and it does not hold the new password", home.ErrRefused, code)
	}
	if err != nil {
		return err
	}
	s.end()
	return nil
}

// change sends the device the new credential, and returns the code of its answer.
func (s *session) change(ctx context.Context, m home.Move) (int, error) {
	to := m.To
	r := keyring.Recipient{
		Device: s.conn.dev, Terms: m.Terms, Evidence: home.Proved(s.key.Verdict),
	}
	password, err := r.Release(to.Password)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", home.ErrRefused, err)
	}
	if s.form.camera {
		return s.changeCamera(ctx, r, password)
	}
	return s.changePlug(ctx, to.Username, password)
}

// changePlug sends set_qs_info. Nothing of the network goes along: with it the same command has a device join
// another.
func (s *session) changePlug(ctx context.Context, username, password string) (int, error) {
	raw, code, err := s.call(ctx, "component_nego", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || !lists(raw, "account", "quick_setup") {
		return code, fmt.Errorf("%w: its firmware does not list that it takes another account", home.ErrRefused)
	}
	now, code, err := s.call(ctx, "get_device_time", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || len(now) == 0 {
		return code, fmt.Errorf("%w: code %d to get_device_time", home.ErrRefused, code)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	account := map[string]string{"username": b64(username), "password": b64(password)}
	return s.callHidden(ctx, "set_qs_info", map[string]any{"account": account, "time": now})
}

// lists reports whether a device lists all of the components.
func lists(raw []byte, want ...string) bool {
	var n struct {
		List []struct{ ID string } `json:"component_list"`
	}
	if json.Unmarshal(raw, &n) != nil {
		return false
	}
	for _, w := range want {
		if !slices.ContainsFunc(n.List, func(c struct{ ID string }) bool { return c.ID == w }) {
			return false
		}
	}
	return true
}

// hidden is how far into a request a secret stands at least: further than the answer to it is long. Request and
// answer share key and nonce, so that the bytes before can be read by who guesses the answer (devices/PROTOCOLS.md,
// section 11.5).
const hidden = 512

// callHidden is call for a request with a secret in it.
func (s *session) callHidden(ctx context.Context, method string, params any) (int, error) {
	body, err := s.request(method, params)
	if err != nil {
		return 0, err
	}
	_, code, err := s.exchange(ctx, hide(body), method)
	return code, err
}

// hide puts blanks behind the first brace of a request: they change nothing of its meaning.
func hide(request []byte) []byte {
	return slices.Concat(request[:1], bytes.Repeat([]byte{' '}, hidden), request[1:])
}
