package tapocam

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Rekey gives the camera the new password. The move is done once the camera has proved the new one. The accounts for
// RTSP and ONVIF are others and stay as they are.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	return failure.Rekey(dev.ID, d.rekey(ctx, dev, m))
}

// rekey signs in with the old password, has the camera take the new one, and signs in with that. The camera's answer to
// the command decides nothing (devices/PROTOCOLS.md, section 10.3).
func (d *Driver) rekey(ctx context.Context, dev home.Device, m home.Move) error {
	if m.To.Password.IsZero() {
		return failure.ErrNoPassword
	}
	c := d.connect(dev, m.Account, m.Terms)
	defer c.http.Close()
	s, err := c.signIn(ctx, keyring.CameraForMove(m), true)
	if err != nil {
		return err
	}
	defer s.device.forget()
	if _, err := s.device.identify(ctx); err != nil {
		return err
	}
	c.recordCertificate()
	if s.key.Password.Equal(m.To.Password) {
		return nil
	}
	key, err := s.device.encryptionKey(ctx)
	if err != nil {
		return err
	}
	code, err := s.device.changePassword(ctx, key, s.held, m.To.Password)
	if errors.Is(err, home.ErrRefused) || err != nil && ctx.Err() != nil {
		return err
	}
	// Neither the answer nor its absence shows which password the camera holds now: its proof does.
	holds, err := c.holds(ctx, s, m.To)
	switch {
	case err != nil || holds:
		return err
	case code == codeOldPassword:
		return fmt.Errorf("change: code %d: %w", code, home.ErrNotOpened)
	}
	return fmt.Errorf("change: code %d, and it does not hold the new one: %w", code, home.ErrRefused)
}

// holds reports whether the camera holds the new password, by a new sign-in. It asks twice: some cameras alternate
// between two.
func (c *conn) holds(ctx context.Context, s signedIn, to home.Credential) (bool, error) {
	key := []keyring.Key{{Username: keyring.CameraUser, Password: to.Password}}
	for try := 0; ; try++ {
		g, err := c.greet(ctx)
		switch {
		case err != nil:
			return false, err
		case g.old && s.device.cipher != nil:
			return false, failure.ErrProtocol
		case g.old:
			// A password that was wrong before may be right now.
			kept, err := c.kept()
			kept.Accepted, kept.Refused = home.Secret{}, nil
			if err := errors.Join(err, c.d.o.Memory.SaveSignIns(c.dev.ID, kept)); err != nil {
				return false, err
			}
			_, err = c.try(ctx, &g, key[0])
			if errors.Is(err, errRefused) {
				return false, nil
			}
			return err == nil, err
		}
		if _, ok := g.match(key); ok || try > 0 {
			return ok, nil
		}
	}
}

// encryptionKey asks the camera for the key under which a password is encrypted for it. Most firmware gives none: there
// it is the vendor's, and only inside a session that is encrypted with the password that the camera holds.
func (s *deviceSession) encryptionKey(ctx context.Context) (*rsa.PublicKey, error) {
	params := map[string]any{"onboarding": map[string]any{"scan": map[string]any{}}}
	raw, code, err := s.call(ctx, "scanApList", params)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		raw = nil // it may take the vendor's
	}
	return keyring.CameraKey(raw, s.cipher != nil)
}

// changePassword sends the camera the new password, encrypted with its key. That the password is encrypted, and not its
// hash, is a guess: sources disagree (devices/PROTOCOLS.md, section 10.3). A camera that expects the hash does not
// prove the new password afterwards.
func (s *deviceSession) changePassword(
	ctx context.Context, key *rsa.PublicKey, from held, to home.Secret,
) (code int, err error) {
	e := home.Proved(from.key.Verdict)
	if s.cipher == nil {
		e.Rank = home.HashFirst
	}
	r := s.c.recipient(e)
	password, err := r.Release(to)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", home.ErrRefused, err)
	}
	oldHash, err := r.Release(from.hash)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", home.ErrRefused, err)
	}
	//lint:ignore SA1019 cameras use this padding
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, key, []byte(password))
	if err != nil {
		return 0, fmt.Errorf("%w: the new password is too long for its key", home.ErrRefused)
	}
	change := map[string]any{
		"encrypt_type": "3", "secname": "root", "username": keyring.CameraUser,
		"passwd": from.hasher(password), "old_passwd": oldHash, "ciphertext": base64.StdEncoding.EncodeToString(sealed),
	}
	params := map[string]any{"user_management": map[string]any{"change_admin_password": change}}
	_, code, err = s.call(ctx, "changeAdminPassword", params)
	return code, err
}
