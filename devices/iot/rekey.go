package iot

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Codes of the devices: devices/PROTOCOLS.md, section 4.
const (
	codeNotBound     = -8
	codeBulbNotBound = -4002
	codeNoServer     = -21
	codeBusy         = -32
)

// Rekey takes the device from the account and gives it back to it with the new password, which the device tries at its cloud
// by itself. It asks whose the device is first. Where the device does not take the new password, it gets the old one again.
//
// A device from which ctx, or the power, was taken in the midst is bound to nobody: Probe says so, and Rekey goes on there.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return errUntold(dev.ID)
	}
	if !m.Account.CleartextBind {
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: fmt.Errorf("it takes its password only as good as in the clear, which is not allowed: %w", home.ErrRefused),
			Hint: "allow it, with: rekeyd bind --allow-cleartext-bind; or add the device again in its own app",
		}
	}
	t := d.talk(dev)
	defer t.close()
	s, err := t.ask(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("ask whose it is: %w", err)
	case !s.is(dev):
		return fmt.Errorf("another device answers at its address: %w", home.ErrUnreachable)
	case s.cloud == nil:
		return fmt.Errorf("it has no cloud module: %w", home.ErrRefused)
	}
	switch s.whose(m.Account.Email) {
	case home.Ours:
		d.forget(dev.ID)
		r, err := t.command(ctx, s.module, "unbind", struct{}{}, d.o.Timeout)
		if err = outcome("unbind", r, err, m); err != nil && r.Code != codeNotBound && r.Code != codeBulbNotBound {
			return err
		}
	case home.Unbound:
	default:
		return home.ErrForeign
	}
	return d.bind(ctx, t, s.module, m)
}

// bind gives the device, which is bound to nobody now, the new credential.
func (d *Driver) bind(ctx context.Context, t *talk, module string, m home.Move) error {
	r, err := d.give(ctx, t, module, m.Account, m.To)
	b := bond{account: m.Account.ID, epoch: m.To.Epoch}
	switch {
	case err == nil && r.Code == 0:
		d.remember(t.dev.ID, b)
		return nil
	case err == nil && r.Code == codeNoServer:
		b.offline = true
		d.remember(t.dev.ID, b)
		return fmt.Errorf("bind: code %d: %w", r.Code, home.ErrOffline)
	}
	err = outcome("bind", r, err, m)
	if !errors.Is(err, home.ErrRefused) || m.From.Password.IsZero() || m.From.Password.Equal(m.To.Password) {
		return err
	}
	switch r, again := d.give(ctx, t, module, m.Account, m.From); {
	case again == nil && r.Code == 0:
		return fmt.Errorf("%w; it was given the old one again", err)
	default:
		return fmt.Errorf("%w; nor did it take the old one again: %w", err, outcome("bind", r, again, m))
	}
}

func (d *Driver) give(ctx context.Context, t *talk, module string, a home.Account, c home.Credential) (result, error) {
	return t.command(ctx, module, "bind", struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{cmp.Or(c.Username, a.Email), c.Password.Reveal()}, d.o.BindTimeout)
}

// outcome turns what came of a command into an error of home's, nil for success.
func outcome(what string, r result, err error, m home.Move) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case r.Code == 0:
		return nil
	}
	said := fmt.Sprintf("%s: code %d", what, r.Code)
	if words := quotable(r.Msg, m); words != "" {
		said += fmt.Sprintf(" (%s)", words)
	}
	if r.Code == codeBusy {
		return fmt.Errorf("%s: %w", said, home.ErrBusy)
	}
	return fmt.Errorf("%s: %w", said, home.ErrRefused)
}

// longestWord and longestSaying bound what is quoted, in bytes.
const (
	longestWord   = 16
	longestSaying = 80
)

// quotable returns what a device said of a failure, or nothing where that might tell what the device was told: only short words
// of letters are quoted, which no hash or key consists of, and none with a credential of m among them, in the clear or in base64.
func quotable(msg string, m home.Move) string {
	msg = clean(msg)
	if len(msg) > longestSaying {
		return ""
	}
	for word := range strings.FieldsSeq(msg) {
		if word = strings.Trim(word, ".,:;!?'()"); len(word) > longestWord || strings.ContainsFunc(word, notInWords) {
			return ""
		}
	}
	for _, c := range []home.Credential{m.From, m.To} {
		for _, secret := range []string{c.Password.Reveal(), cmp.Or(c.Username, m.Account.Email)} {
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
