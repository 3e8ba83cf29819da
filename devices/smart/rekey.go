package smart

import (
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

// Rekey gives the device the new credential (set_qs_info). The move is done once the device has proved the new one in a
// handshake of its own: an L900 answered with an error and had accepted it (devices/PROTOCOLS.md, section 9.2).
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	return failure.Rekey(dev.ID, d.rekey(ctx, dev, m))
}

// rekey finds by proof which credential the device holds, sends the new one, and asks for a proof of it.
func (d *Driver) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return failure.ErrNoPassword
	}
	conn := d.connect(dev)
	defer conn.Close()
	p, held, err := prove(ctx, conn, dev, m.Account, keyring.ForMove(m))
	if err != nil {
		return err
	}
	if _, err := d.locate(ctx, conn, p, held, dev, 0); err != nil {
		return err
	}
	if held.Key.Username == m.To.Username && held.Key.Password.Equal(m.To.Password) {
		return nil
	}
	e := home.Proved(held.Key.Verdict)
	r := keyring.Recipient{Device: dev, Terms: m.Terms, Evidence: e}
	code, err := setAccount(ctx, conn, r, m.To)
	if err != nil && !errors.Is(err, home.ErrUnreachable) {
		return err
	}
	for range 2 { // some devices alternate between two credentials
		holds, err := d.holds(ctx, dev, m.To)
		if err != nil || holds {
			return err
		}
	}
	return fmt.Errorf("set_qs_info: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
}

// setAccount sends the credential to the device. The request has nothing about the network: with a "wireless" block the
// same command would have the device join another one.
func setAccount(ctx context.Context, x exchanger, r keyring.Recipient, to home.Credential) (code int, err error) {
	raw, code, err := command(ctx, x, "component_nego", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || !hasComponents(raw, "account", "quick_setup") {
		return code, fmt.Errorf("its firmware does not list that it takes another account: %w", home.ErrRefused)
	}
	now, code, err := command(ctx, x, "get_device_time", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || len(now) == 0 {
		return code, fmt.Errorf("get_device_time: code %d: %w", code, home.ErrRefused)
	}
	password, err := r.Release(to.Password)
	if err != nil {
		return 0, err
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	account := map[string]string{"username": b64(to.Username), "password": b64(password)}
	_, code, err = command(ctx, x, "set_qs_info", map[string]any{"account": account, "time": now})
	return code, err
}

// hasComponents reports whether the answer to component_nego lists all of the components.
func hasComponents(raw []byte, want ...string) bool {
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

// holds asks the device, in a handshake of its own, whether it holds the credential.
func (d *Driver) holds(ctx context.Context, dev home.Device, c home.Credential) (bool, error) {
	conn := d.connect(dev)
	defer conn.Close()
	p, err := conn.Handshake(ctx)
	if err != nil {
		return false, err
	}
	_, ok := p.Match([]keyring.Key{{Username: c.Username, Password: c.Password}})
	return ok, nil
}
