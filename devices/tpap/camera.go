package tpap

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// changeCamera sends changeAdminPassword, with the password encrypted to the camera's key.
func (s *session) changeCamera(ctx context.Context, r keyring.Recipient, password string) (int, error) {
	raw, code, err := s.call(ctx, "scanApList", map[string]any{"onboarding": map[string]any{"scan": map[string]any{}}})
	if err != nil {
		return 0, err
	}
	if code != 0 {
		raw = nil // it may take the app's key
	}
	key, err := parseKey(raw)
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

// appKey is the key of the vendor's app, for cameras that give none: devices/PROTOCOLS.md, section 10.3. Everybody
// can open what is encrypted to it. Here the session protects the password.
const appKey = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4D6i0oD/Ga5qb//RfSe8MrPVIrMIGecCxkcGWGj9kxxk74qQNq8XUuXoy2Pcz" +
	"Q30BpiRHrlkbtBEPeWLpq85tfubTUjhBz1NPNvWrC88uaYVGvzNpgzZOqDC35961uPTuvdUa8vztcUQjEZy16WbmetRjURFIiWJgFCmemyYVbQIDAQAB"

// parseKey returns the key in the answer to scanApList, as PEM or as DER in base64, or the app's where there is none.
func parseKey(raw []byte) (*rsa.PublicKey, error) {
	var got struct {
		Onboarding struct {
			Scan struct {
				PEM string `json:"public_key"`
				DER string `json:"publicKey"`
			} `json:"scan"`
		} `json:"onboarding"`
	}
	if len(raw) > 0 && json.Unmarshal(raw, &got) != nil {
		return nil, failure.ErrProtocol
	}
	refused := fmt.Errorf("%w: its key is none to encrypt a password with", home.ErrRefused)
	text := got.Onboarding.Scan.PEM + got.Onboarding.Scan.DER
	if text == "" {
		text = appKey
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, refused
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, refused
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 1024 || key.N.BitLen() > 4096 {
		return nil, refused
	}
	return key, nil
}
