package smart

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
	"github.com/rekeyd/rekeyd/devices/passthrough"
)

// Rekey gives the device the new credential (set_qs_info), and believes that it has it once the device has proved so in a handshake of its
// own: an L900 answered with an error and had taken it all the same (devices/PROTOCOLS.md, section 9).
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return untold(dev)
	}
	l := d.open(dev)
	defer l.Close()
	g, err := l.Greet(ctx)
	if err != nil {
		return told(dev, err)
	}
	found, ok := g.Find(keyring.Opening(m))
	switch {
	case !ok && dev.Claims(m.Account.Email) == home.Foreign:
		return fmt.Errorf("it says so itself: %w", home.ErrForeign)
	case !ok:
		return fmt.Errorf("%w: %w", home.ErrNotOpened, errNone)
	}
	if _, err := d.identify(ctx, l, g, found, dev, 0); err != nil {
		return told(dev, err)
	}
	if found.Key.Username == m.To.Username && found.Key.Password.Equal(m.To.Password) {
		return nil
	}
	code, err := change(ctx, l, m.To)
	if err != nil && !errors.Is(err, home.ErrUnreachable) {
		return told(dev, err)
	}
	for range 2 { // some flap between two credentials
		has, err := d.has(ctx, dev, m.To)
		if err != nil {
			return told(dev, err)
		}
		if has {
			return nil
		}
	}
	return fmt.Errorf("set_qs_info: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
}

// change tells the device the credential. Nothing of the network it is in goes along: with a "wireless" block the same command would have
// it join another.
func change(ctx context.Context, l asker, to home.Credential) (code int, err error) {
	raw, code, err := command(ctx, l, "component_nego", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || !lists(raw, "account", "quick_setup") {
		return code, fmt.Errorf("its firmware does not say that it takes another account: %w", home.ErrRefused)
	}
	now, code, err := command(ctx, l, "get_device_time", nil)
	if err != nil {
		return 0, err
	}
	if code != 0 || len(now) == 0 {
		return code, fmt.Errorf("get_device_time: code %d: %w", code, home.ErrRefused)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	_, code, err = command(ctx, l, "set_qs_info", map[string]any{
		"account": map[string]string{"username": b64(to.Username), "password": b64(to.Password.Reveal())}, "time": now,
	})
	return code, err
}

// lists tells whether the device lists all of the components.
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

// has asks the device, in a handshake of its own, whether it holds the credential.
func (d *Driver) has(ctx context.Context, dev home.Device, c home.Credential) (bool, error) {
	l := d.open(dev)
	defer l.Close()
	g, err := l.Greet(ctx)
	if err != nil {
		return false, err
	}
	_, ok := g.Find([]keyring.Key{{Username: c.Username, Password: c.Password}})
	return ok, nil
}

// untold is what comes of a move to a password that nobody has told this hub.
func untold(dev home.Device) error {
	return &home.Error{
		Op: "rekey", Device: dev.ID, Err: errors.New("this hub was never told the new password"),
		Hint: "sign in with the new password, with: rekeyd login",
	}
}

// told turns what came of a device into an error of home's.
func told(dev home.Device, err error) error {
	hint := ""
	switch {
	case errors.Is(err, klap.ErrForbidden), errors.Is(err, passthrough.ErrForbidden):
		hint = home.Verdict{State: home.ThirdPartyOff}.Hint(string(dev.ID))
	case errors.Is(err, errTrusting):
		hint = "allow it with: rekeyd bind --allow-cleartext-bind, or change its password in its own app"
	default:
		return err
	}
	return &home.Error{Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: %w", home.ErrRefused, err), Hint: hint}
}
