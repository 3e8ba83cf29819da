package tpap

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// changeCamera sends changeAdminPassword, with the password encrypted to the camera's key.
func (s *session) changeCamera(ctx context.Context, r keyring.Recipient, password string) (int, error) {
	raw, code, err := s.call(ctx, "scanApList", map[string]any{"onboarding": map[string]any{"scan": map[string]any{}}})
	if err != nil {
		return 0, err
	}
	if code != 0 {
		raw = nil // it may take the vendor's
	}
	key, err := keyring.CameraKey(raw, true)
	if err != nil {
		return 0, err
	}
	old, err := r.Release(s.key.Password)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", home.ErrRefused, err)
	}
	//lint:ignore SA1019 cameras use this padding
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, key, []byte(password))
	if err != nil {
		return 0, fmt.Errorf("%w: the new password is too long for its key", home.ErrRefused)
	}
	hash := upperSHA256
	if s.form.shadow != shadowCrypt {
		hash = upperMD5
	}
	change := map[string]any{
		"encrypt_type": "3", "secname": "root", "username": keyring.CameraUser,
		"passwd": hash(password), "old_passwd": hash(old), "ciphertext": sealed,
	}
	params := map[string]any{"user_management": map[string]any{"change_admin_password": change}}
	return s.callHidden(ctx, "changeAdminPassword", params)
}

func upperMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
