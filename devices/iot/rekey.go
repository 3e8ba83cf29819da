package iot

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// Codes of the devices: devices/PROTOCOLS.md, section 4.4.
const (
	codeNotBound     = -8
	codeBulbNotBound = -4002
	codeNoServer     = -21
	codeBusy         = -32
)

// bindArgs are the arguments of bind.
type bindArgs struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// transfer has the released credentials of a move. Both are released before the device is touched: it is not left
// without an account because one of them may not be sent.
type transfer struct {
	to, from bindArgs // from is zero where the old password is not known, or is the new one
}

// newTransfer asks the rule (home.Terms.Permit) for both passwords of a move. Its error is that of the rule.
func newTransfer(r keyring.Recipient, m home.Move) (transfer, error) {
	release := func(c home.Credential) (bindArgs, error) {
		password, err := r.Release(c.Password)
		return bindArgs{username(m.Account, c), password}, err
	}
	var t transfer
	var err error
	if t.to, err = release(m.To); err != nil || m.From.Password.IsZero() || m.From.Password.Equal(m.To.Password) {
		return t, err
	}
	t.from, err = release(m.From)
	return t, err
}

// recipient is the device as the recipient of a secret, after its proof or statement.
func recipient(dev home.Device, m home.Move, e home.Evidence) keyring.Recipient {
	return keyring.Recipient{Device: dev, Terms: m.Terms, Evidence: e}
}

// unbinding announces that this driver makes the device factory-fresh.
func unbinding(m home.Move) error {
	if m.Unbinding == nil {
		return nil
	}
	return m.Unbinding()
}

// username returns the e-mail address that belongs to a credential.
func username(a home.Account, c home.Credential) string { return cmp.Or(c.Username, a.Email) }

// Rekey unbinds the device and binds it with the new password, which the device tries at its cloud by itself. It asks
// for the device's owner first. A device that refuses the new password is bound with the old one again.
//
// A device whose move was interrupted is bound to no account: Probe finds that, and another Rekey completes the move.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	return failure.Rekey(dev.ID, d.rekey(ctx, dev, m))
}

// rekey unbinds a device that the account owns, and binds it with the new credential.
func (d *Driver) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return failure.ErrNoPassword
	}
	c := d.connect(dev)
	defer c.close()
	id, err := c.identify(ctx)
	if err != nil {
		return fmt.Errorf("identify: %w", err)
	}
	if id.cloud == nil {
		return fmt.Errorf("it has no cloud module: %w", home.ErrRefused)
	}
	owner := id.owner(m.Account.Email)
	if owner != home.Ours && owner != home.Unbound {
		return home.ErrForeign
	}
	stated := home.Evidence{Rank: home.ToldFirst, Held: home.Stale}
	if owner == home.Unbound {
		stated.Held = home.Blank
	}
	t, err := newTransfer(recipient(dev, m, stated), m)
	if err != nil {
		return err
	}
	if owner == home.Ours {
		if err := unbinding(m); err != nil {
			return err
		}
		d.binds.Set(dev.ID, bindRecord{})
		r, err := c.command(ctx, id.module, "unbind", struct{}{}, d.o.Timeout)
		if err = commandError("unbind", r, err, m); err != nil && !r.notBound() {
			return err
		}
	}
	return d.bind(ctx, c, id.module, m, t)
}

// notBound reports that a device was bound to no account before it was unbound.
func (r result) notBound() bool { return r.Code == codeNotBound || r.Code == codeBulbNotBound }

// bind gives a device that is bound to no account the new credential, or the old one where it refuses the new one.
func (d *Driver) bind(ctx context.Context, c *conn, module string, m home.Move, t transfer) error {
	r, err := c.command(ctx, module, "bind", t.to, d.o.BindTimeout)
	record := bindRecord{account: m.Account.ID, epoch: m.To.Epoch}
	switch {
	case err == nil && r.Code == 0:
		d.recordBind(c.dev.ID, record)
		return nil
	case err == nil && r.Code == codeNoServer:
		record.offline = true
		d.recordBind(c.dev.ID, record)
		return fmt.Errorf("bind: code %d: %w", r.Code, home.ErrOffline)
	}
	err = commandError("bind", r, err, m)
	if !errors.Is(err, home.ErrRefused) || t.from == (bindArgs{}) {
		return err
	}
	r, again := c.command(ctx, module, "bind", t.from, d.o.BindTimeout)
	return restoreError(err, commandError("bind", r, again, m))
}

// restoreError adds the device's answer to the old credential to its refusal of the new one.
func restoreError(refused, restored error) error {
	if restored != nil {
		return fmt.Errorf("%w; nor did it take the old one again: %w", refused, restored)
	}
	return fmt.Errorf("%w; it was given the old one again", refused)
}

// commandError returns the error of a command: err, or one for a code other than 0.
func commandError(command string, r result, err error, m home.Move) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", command, err)
	case r.Code == 0:
		return nil
	}
	text := fmt.Sprintf("%s: code %d", command, r.Code)
	if words := quotable(r.Msg, m); words != "" {
		text += fmt.Sprintf(" (%s)", words)
	}
	if r.Code == codeBusy {
		return fmt.Errorf("%s: %w", text, home.ErrBusy)
	}
	return fmt.Errorf("%s: %w", text, home.ErrRefused)
}

// Bounds of a quoted message, in bytes.
const (
	maxQuotedWord = 16
	maxQuoted     = 80
)

// quotable returns a device's message about a failure, or nothing where the message could contain what the device
// received. Only short words of letters are quoted, which no hash or key consists of, and none with a credential of m
// among them, in clear text or base64.
func quotable(msg string, m home.Move) string {
	msg = nameplate.Text(msg)
	if len(msg) > maxQuoted {
		return ""
	}
	for word := range strings.FieldsSeq(msg) {
		if word = strings.Trim(word, ".,:;!?'()"); len(word) > maxQuotedWord || strings.ContainsFunc(word, notInWords) {
			return ""
		}
	}
	for _, c := range []home.Credential{m.From, m.To} {
		for _, secret := range []string{c.Password.Reveal(), username(m.Account, c)} {
			for _, form := range []string{secret, base64.RawStdEncoding.EncodeToString([]byte(secret))} {
				if secret != "" && strings.Contains(strings.ToLower(msg), strings.ToLower(form)) {
					return ""
				}
			}
		}
	}
	return msg
}

func notInWords(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '\'' && r != '/'
}
