package iot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Rekey unbinds the device and binds it with the new password. The move is done once the device has proved the new
// password in a handshake of its own. A device that refuses it is bound with the old one again.
//
// A device whose move was interrupted holds no credential, or the old one: Probe finds that, and another Rekey
// completes the move.
func (d *KLAP) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	return failure.Rekey(dev.ID, d.rekey(ctx, dev, m))
}

// rekey unbinds the device in the session of its old credential, binds it with the new one, and has it prove the new
// one.
func (d *KLAP) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return failure.ErrNoPassword
	}
	c := d.connect(dev, d.o.BindTimeout)
	defer c.Close()
	held, err := c.signIn(ctx, keyring.ForMove(m))
	if err != nil {
		return err
	}
	id, err := c.identify(ctx)
	k := held.Key
	switch {
	case err != nil:
		return err
	case id.cloud == nil:
		return fmt.Errorf("it has no cloud module: %w", home.ErrRefused)
	case id.owner(m.Account.Email) == home.Foreign:
		return home.ErrForeign
	case k.Username == username(m.Account, m.To) && k.Password.Equal(m.To.Password) && id.cloud.binded != 0:
		return nil
	}
	if k.Verdict.State != home.Default && k.Verdict.State != home.Blank && !k.Password.Equal(m.To.Password) {
		// The credential that the device has proved is the old one, whatever was recorded.
		m.From = home.Credential{Epoch: k.Verdict.Epoch, Username: k.Username, Password: k.Password}
	}
	t, err := newTransfer(recipient(dev, m, home.Proved(k.Verdict)), m)
	if err != nil {
		return err
	}
	if id.cloud.binded != 0 {
		if err := unbinding(m); err != nil {
			return err
		}
		_, r, err := c.command(ctx, id.module, "unbind", struct{}{})
		if err = commandError("unbind", r, err, m); err != nil && !r.notBound() {
			return err
		}
		m.Terms.Fresh = true // it answered in the session of its old credential: this side made it factory-fresh
	}
	r, err := c.bind(ctx, id.module, m, t.to)
	if err == nil && r.Code == codeNoServer {
		b := bindRecord{account: m.Account.ID, epoch: m.To.Epoch, offline: true, at: time.Now()}
		d.offlines.Set(dev.ID, b)
		return fmt.Errorf("bind: code %d: %w", r.Code, home.ErrOffline)
	}
	return d.verify(ctx, c, id.module, m, t, commandError("bind", r, err, m))
}

// verify completes a move whose bind was answered with refused, nil for success: it asks for a proof of the new
// credential, and gives the old one back where the device has refused the new one.
func (d *KLAP) verify(ctx context.Context, c *klapConn, module string, m home.Move, t transfer, refused error) error {
	holds, err := d.holds(ctx, c.dev, m)
	switch {
	case err != nil:
		return err
	case holds:
		return nil
	case refused == nil:
		return fmt.Errorf("bind: it does not hold the new one: %w", home.ErrRefused)
	case !errors.Is(refused, home.ErrRefused) || t.from == (bindArgs{}):
		return refused
	}
	r, err := c.bind(ctx, module, m, t.from)
	return restoreError(refused, commandError("bind", r, err, m))
}

// bind binds the device. Which credential it holds between unbind and bind is not known: where it has ended the
// session, this side signs in again. Any host at the address can have ended it: the new session needs evidence of its
// own, and the factory credential is enough only after an answered unbind, or with the owner's consent.
func (c *klapConn) bind(ctx context.Context, module string, m home.Move, args bindArgs) (result, error) {
	_, r, err := c.command(ctx, module, "bind", args)
	if !errors.Is(err, home.ErrNotOpened) {
		return r, err
	}
	keys := home.Candidates{Account: m.Account, Credentials: []home.Credential{m.To, m.From}}
	held, err := c.signIn(ctx, keyring.Candidates(keys))
	if err != nil {
		return result{}, err
	}
	if err := m.Terms.Permit(home.Proved(held.Key.Verdict)); err != nil {
		return result{}, err
	}
	_, r, err = c.command(ctx, module, "bind", args)
	return r, err
}

// holds asks the device, in handshakes of their own, whether it holds the new credential. It asks twice: some devices
// alternate between two.
func (d *KLAP) holds(ctx context.Context, dev home.Device, m home.Move) (bool, error) {
	key := []keyring.Key{{Username: username(m.Account, m.To), Password: m.To.Password}}
	for range 2 {
		c := d.connect(dev, d.o.Timeout)
		p, err := c.Handshake(ctx)
		c.Close()
		if err != nil {
			return false, err
		}
		if _, ok := p.Match(key); ok {
			return true, nil
		}
	}
	return false, nil
}
