package tapocam

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Rekey gives the camera the new password, and believes that it has it once the camera has proven it. The accounts for RTSP and ONVIF,
// which are others, stay as they are.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: errors.New("this hub was never told the new password"),
			Hint: "sign in with the new password, with: rekeyd login",
		}
	}
	t := d.talk(dev)
	defer t.line.Close()
	e, err := t.open(ctx, m.Account, keyring.EnteringCamera(m), true)
	if err != nil {
		return told(dev, err)
	}
	defer e.session.forget()
	who, err := e.session.who(ctx)
	switch {
	case err != nil:
		return told(dev, err)
	case !who.is(dev):
		return fmt.Errorf("another device answers at its address: %w", home.ErrUnreachable)
	}
	t.acquaint()
	if e.key.Password.Equal(m.To.Password) {
		return nil
	}
	key, err := e.session.key(ctx)
	if err != nil {
		return told(dev, err)
	}
	code, err := e.session.change(ctx, key, e.held, m.To.Password)
	if errors.Is(err, home.ErrRefused) || ctx.Err() != nil {
		return told(dev, err)
	}
	// Whatever it has answered, or whether: what it holds now is what it proves.
	has, err := t.has(ctx, e, m.To)
	switch {
	case err != nil:
		return told(dev, err)
	case has:
		return nil
	case code == codeOldPassword:
		return fmt.Errorf("change: code %d: %w", code, home.ErrNotOpened)
	}
	return fmt.Errorf("change: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
}

// told turns what came of a camera into an error of home's.
func told(dev home.Device, err error) error {
	switch {
	case errors.Is(err, errThirdParty):
		return &home.Error{Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: %w", home.ErrRefused, err), Hint: home.Verdict{State: home.ThirdPartyOff}.Hint(string(dev.ID))}
	case errors.Is(err, errNone), errors.Is(err, errWrong):
		return fmt.Errorf("%w: %w", home.ErrNotOpened, err)
	case errors.Is(err, errOlder):
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: %w", home.ErrRefused, err),
			Hint: "allow it with: rekeyd bind --allow-cleartext-bind, or change its password in its own app",
		}
	case errors.Is(err, errBlind):
		return &home.Error{
			Op: "rekey", Device: dev.ID, Err: fmt.Errorf("%w: %w", home.ErrRefused, err), Hint: home.Verdict{State: home.Unsupported}.Hint(string(dev.ID)),
		}
	case errors.Is(err, home.ErrForeign):
		return fmt.Errorf("it says so itself: %w", err)
	case errors.Is(err, home.ErrUnreachable), errors.Is(err, home.ErrBudget):
		return err
	}
	if l, ok := errors.AsType[lockedError](err); ok {
		return fmt.Errorf("%w: %w", home.ErrBudget, l)
	}
	if errors.Is(err, errAnswer) {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	return err
}

// has tells whether the camera holds the new password, by signing in anew. It asks a second time: some hold two by turns.
func (t *talk) has(ctx context.Context, e entry, to home.Credential) (bool, error) {
	key := []keyring.Key{{Username: "admin", Password: to.Password}}
	for try := 0; ; try++ {
		g, err := t.greet(ctx)
		switch {
		case err != nil:
			return false, err
		case g.old && e.session.seal != nil:
			return false, errAnswer
		case g.old:
			// What was wrong before may be right now.
			t.d.note(t.dev.ID, func(m *memo) { m.right, m.wrong = home.Secret{}, nil })
			_, err := t.try(ctx, &g, key[0])
			if errors.Is(err, errWrong) {
				return false, nil
			}
			return err == nil, err
		}
		if _, ok := g.match(key); ok || try > 0 {
			return ok, nil
		}
	}
}

// key asks the camera for the key with which a password is sealed for it.
func (s *session) key(ctx context.Context) (*rsa.PublicKey, error) {
	raw, code, err := s.call(ctx, "scanApList", map[string]any{"onboarding": map[string]any{"scan": map[string]any{}}})
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("%w: code %d where it was asked for its key", home.ErrRefused, code)
	}
	return parseKey(raw)
}

// change tells the camera the new password, sealed with its key. That it is the password that is sealed, and not its hash, is a guess:
// sources disagree (devices/PROTOCOLS.md, section 10). A camera that makes something else of it does not prove the new one afterwards.
func (s *session) change(ctx context.Context, key *rsa.PublicKey, from held, to home.Secret) (code int, err error) {
	//lint:ignore SA1019 it is what cameras open
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, key, []byte(to.Reveal()))
	if err != nil {
		return 0, fmt.Errorf("%w: the new password does not go into its key", home.ErrRefused)
	}
	_, code, err = s.call(ctx, "changeAdminPassword", map[string]any{"user_management": map[string]any{"change_admin_password": map[string]any{
		"encrypt_type": "3", "secname": "root", "username": "admin",
		"passwd": from.hasher(to.Reveal()), "old_passwd": from.hash.Reveal(), "ciphertext": base64.StdEncoding.EncodeToString(sealed),
	}}})
	return code, err
}

// parseKey reads the key out of the answer to scanApList. A camera that gives none is not given a password: the key that others keep for
// that is in every app, and protects nothing.
func parseKey(raw []byte) (*rsa.PublicKey, error) {
	var got struct {
		Onboarding struct {
			Scan struct {
				Key []byte `json:"publicKey"`
			} `json:"scan"`
		} `json:"onboarding"`
	}
	if json.Unmarshal(raw, &got) != nil {
		return nil, errAnswer
	}
	any, err := x509.ParsePKIXPublicKey(got.Onboarding.Scan.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: it gives no key to seal a password with", home.ErrRefused)
	}
	key, ok := any.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 1024 || key.N.BitLen() > 4096 {
		return nil, fmt.Errorf("%w: its key is none to seal a password with", home.ErrRefused)
	}
	return key, nil
}
