package iot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/klap"
)

// Rekey takes the device from the account and gives it back to it with the new password, and believes that it has it once the device has
// proved so in a handshake of its own. Where it does not take the new password, it gets the old one again.
//
// A device from which ctx, or the power, was taken in the midst holds nothing, or the old one: Probe finds out, and Rekey goes on there.
func (d *KLAP) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return errUntold(dev.ID)
	}
	t := d.open(dev, d.o.BindTimeout)
	defer t.Close()
	found, err := t.enter(ctx, keyring.Opening(m))
	if err != nil {
		return refusal(dev, err)
	}
	s, err := t.ask(ctx)
	switch {
	case err != nil:
		return refusal(dev, err)
	case s.cloud == nil:
		return fmt.Errorf("it has no cloud module: %w", home.ErrRefused)
	case s.whose(m.Account.Email) == home.Foreign:
		return home.ErrForeign
	case found.Key.Username == username(m.Account, m.To) && found.Key.Password.Equal(m.To.Password) && s.cloud.binded != 0:
		return nil
	}
	if k := found.Key; k.Verdict.State != home.Default && k.Verdict.State != home.Blank && !k.Password.Equal(m.To.Password) {
		m.From = home.Credential{Epoch: k.Verdict.Epoch, Username: k.Username, Password: k.Password} // what it has proved counts
	}
	if s.cloud.binded != 0 {
		_, r, err := t.command(ctx, s.module, "unbind", struct{}{}, nil)
		if err = outcome("unbind", r, err, m); err != nil && r.Code != codeNotBound && r.Code != codeBulbNotBound {
			return err
		}
	}
	r, err := t.give(ctx, s.module, m, m.To)
	if err == nil && r.Code == codeNoServer {
		d.mu.Lock()
		d.given[dev.ID] = bond{account: m.Account.ID, epoch: m.To.Epoch, offline: true, at: time.Now()}
		d.mu.Unlock()
		return fmt.Errorf("bind: code %d: %w", r.Code, home.ErrOffline)
	}
	refused := outcome("bind", r, err, m)
	has, err := d.has(ctx, dev, m)
	switch {
	case err != nil:
		return refusal(dev, err)
	case has:
		return nil
	case refused == nil:
		return fmt.Errorf("bind: it does not hold the new one: %w", home.ErrRefused)
	case !errors.Is(refused, home.ErrRefused) || m.From.Password.IsZero() || m.From.Password.Equal(m.To.Password):
		return refused
	}
	if r, err := t.give(ctx, s.module, m, m.From); err != nil || r.Code != 0 {
		return fmt.Errorf("%w; nor did it take the old one again: %w", refused, outcome("bind", r, err, m))
	}
	return fmt.Errorf("%w; it was given the old one again", refused)
}

// give binds the device. What it holds between unbind and bind is not known: where it has ended the session, it is entered anew.
func (t *chat) give(ctx context.Context, module string, m home.Move, c home.Credential) (result, error) {
	args := struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{username(m.Account, c), c.Password.Reveal()}
	_, r, err := t.command(ctx, module, "bind", args, nil)
	if !errors.Is(err, home.ErrNotOpened) {
		return r, err
	}
	if _, err := t.enter(ctx, keyring.Of(home.Candidates{Account: m.Account, Credentials: []home.Credential{m.To, m.From}})); err != nil {
		return result{}, err
	}
	_, r, err = t.command(ctx, module, "bind", args, nil)
	return r, err
}

// has asks the device, in handshakes of their own, whether it holds the new credential. It asks twice: some hold two by turns.
func (d *KLAP) has(ctx context.Context, dev home.Device, m home.Move) (bool, error) {
	key := []keyring.Key{{Username: username(m.Account, m.To), Password: m.To.Password}}
	for range 2 {
		t := d.open(dev, d.o.Timeout)
		g, err := t.Greet(ctx)
		t.Close()
		if err != nil {
			return false, err
		}
		if _, ok := g.Find(key); ok {
			return true, nil
		}
	}
	return false, nil
}

// refusal turns what came of a device into an error of home's.
func refusal(dev home.Device, err error) error {
	if errors.Is(err, klap.ErrForbidden) {
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: %w", home.ErrRefused, err), Hint: home.Verdict{State: home.ThirdPartyOff}.Hint(string(dev.ID)),
		}
	}
	return err
}

// errUntold says that this hub does not know what the device is to be given.
func errUntold(id home.DeviceID) error {
	return &home.Error{
		Op: "rekey", Device: id, Err: errors.New("this hub was never told the new password"),
		Hint: "sign in with the new password, with: rekeyd login",
	}
}
