package nc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Codes of cloud.fcgi: devices/PROTOCOLS.md, section 12.3.
const (
	codeNoNetwork     = 1080
	codeWrongPassword = 1081
	codeNoAccount     = 1082
	codeBound         = 1083
	codeNotBound      = 1088
	codeTimeout       = 1089
	codeLocked        = -20661
)

// Hints for the owner, with DEVICE for the camera.
const (
	appHint      = "change the password of DEVICE in the tpCamera app"
	checkHint    = "sign in with: rekeyd login EMAIL --provider tplink, then run: rekeyd rekey DEVICE"
	internetHint = "give DEVICE access to the internet; rekeyd tries again by itself"
	lockedHint   = "the account is locked for two hours after too many wrong passwords; then run: rekeyd rekey DEVICE"
	worksHint    = "nothing while it works: this hub moves DEVICE once its cloud refuses it; or use the tpCamera app"
)

// errWorks is the failure of a camera that wants to be unbound first while its cloud still accepts its password.
var errWorks = fmt.Errorf("bind: code %d: it is bound already, and its cloud has not refused it: %w", codeBound,
	home.ErrRefused)

// Rekey has the camera sign in to its cloud with the new password. The bind is sent over the one that it has; where the
// camera wants to be unbound first, that is done only if its cloud has refused its password. A camera whose move was
// interrupted is bound to no account: Probe finds that, and another Rekey completes the move.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	err := d.rekey(ctx, dev, m)
	if home.HintOf(err) != "" {
		return err
	}
	return failure.Rekey(dev.ID, err)
}

// rekey opens the camera with its own password and has it sign in to the vendor's cloud with the new one. It decides by
// the status that the camera reports afterwards.
func (d *Driver) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	switch {
	case m.To.Password.IsZero():
		return failure.ErrNoPassword
	case m.Account.Provider != home.TPLink || !m.Accepted || m.To.Epoch != m.Account.Epoch:
		err := fmt.Errorf("%w: TP-Link's cloud has not accepted the new password from this hub", home.ErrRefused)
		return hinted(dev, err, checkHint)
	}
	c := d.connect(dev)
	defer c.close()
	if err := c.greet(ctx); err != nil {
		return err
	}
	s, err := c.signIn(ctx, m.Terms, m.DevicePassword)
	if err != nil {
		return err
	}
	cloud, err := s.cloud(ctx)
	if err != nil {
		return err
	}
	stated := home.Evidence{Rank: home.ToldFirst, Held: home.Stale}
	switch cloud.owner(m.Account.Email) {
	case home.Unbound:
		stated.Held = home.Blank
	case home.Ours:
	default:
		return home.ErrForeign
	}
	last := d.lastBind(dev.ID, m.Account.ID)
	switch {
	case last.epoch == m.To.Epoch && cloud.status == connected:
		return nil
	case last.epoch == m.To.Epoch && cloud.status == refused && !hasRefused(s.kept, m.To.Password):
		return s.refuse(m, "its cloud refused the new password after it was given", checkHint)
	case d.works.Of(dev.ID) == m.To.Epoch && cloud.status != refused:
		return hinted(dev, errWorks, worksHint)
	case hasRefused(s.kept, m.To.Password):
		err := fmt.Errorf("%w: its cloud refused the new password before, and it is not sent again", home.ErrRefused)
		return hinted(dev, err, checkHint)
	}
	r := keyring.Recipient{Device: dev, Terms: m.Terms, Evidence: stated}
	password, err := r.Release(m.To.Password)
	if err != nil {
		return err
	}
	form := url.Values{
		"username": {cmp.Or(m.To.Username, m.Account.Email)}, "password": {password},
		"cameraname": {cmp.Or(cloud.name, s.plate.Name, dev.Name, "camera")},
	}
	return s.bind(ctx, m, cloud, form)
}

// bind has the camera bind itself to its cloud with the form.
func (s *session) bind(ctx context.Context, m home.Move, cloud cloudState, form url.Values) error {
	code, err := s.command(ctx, "bind", form)
	if err == nil && code == codeBound {
		if cloud.status != refused {
			s.d.works.Set(s.dev.ID, m.To.Epoch)
			return hinted(s.dev, errWorks, worksHint)
		}
		if err := unbind(ctx, s, m); err != nil {
			return err
		}
		code, err = s.command(ctx, "bind", form)
	}
	if err != nil {
		return err
	}
	if err := s.refusal(m, code); err != nil {
		return err
	}
	s.d.binds.Set(s.dev.ID, bindRecord{m.Account.ID, m.To.Epoch, time.Now()})
	if cloud, err = s.cloud(ctx); err != nil || cloud.status == connected {
		return err
	}
	return fmt.Errorf("it has the new password, and has not signed in with it yet: %w", home.ErrOffline)
}

// unbind announces that the camera becomes factory-fresh, and unbinds it.
func unbind(ctx context.Context, s *session, m home.Move) error {
	if m.Unbinding != nil {
		if err := m.Unbinding(); err != nil {
			return err
		}
	}
	code, err := s.command(ctx, "unbind", url.Values{})
	if err == nil && code != 0 && code != codeNotBound {
		err = hinted(s.dev, fmt.Errorf("unbind: code %d: %w", code, home.ErrRefused), appHint)
	}
	return err
}

// command sends a command to the camera's cloud module, and returns the code of its answer.
func (s *session) command(ctx context.Context, command string, form url.Values) (int, error) {
	form.Set("command", command)
	form.Set("token", s.token)
	got, _, err := s.ask(ctx, s.slow, "/cloud.fcgi", form, s.cookie)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", command, err)
	case got.Code == nil:
		return 0, failure.ErrProtocol
	}
	return got.code(), nil
}

// refusal returns the error for the code of a bind, nil for 0. What its cloud refused is recorded.
func (s *session) refusal(m home.Move, code int) error {
	text := fmt.Sprintf("bind: code %d", code)
	switch code {
	case 0:
		return nil
	case codeNoNetwork, codeTimeout:
		err := fmt.Errorf("%s: it cannot reach its cloud: %w", text, home.ErrUnreachable)
		return hinted(s.dev, err, internetHint)
	case codeWrongPassword:
		return s.refuse(m, text+": its cloud takes another password", checkHint)
	case codeNoAccount:
		return s.refuse(m, text+": its cloud does not know the account", checkHint)
	case codeLocked:
		return s.refuse(m, text+": its cloud has locked the account", lockedHint)
	}
	return s.refuse(m, text, appHint)
}

// refuse records that the new password was refused by way of this camera, so that it is not sent there again before its
// owner orders it: each refusal counts at the account.
func (s *session) refuse(m home.Move, text, hint string) error {
	s.kept.Refused = append(s.kept.Refused, refusal(m.To.Password))
	err := hinted(s.dev, fmt.Errorf("%s: %w", text, home.ErrRefused), hint)
	return errors.Join(s.d.o.Memory.SaveSignIns(s.dev.ID, s.kept), err)
}

func hinted(dev home.Device, err error, hint string) error {
	return &home.Error{Op: "rekey", Device: dev.ID, Err: err, Hint: strings.ReplaceAll(hint, "DEVICE", string(dev.ID))}
}
