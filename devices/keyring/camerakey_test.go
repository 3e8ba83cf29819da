package keyring_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
)

// Of 14 recorded answers 12 have no key, two a PEM text, and clients expect base64 of the DER.
func TestACamerasKeyIsReadUnderBothNamesAndInBothForms(t *testing.T) {
	own, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKIXPublicKey(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	der := base64.StdEncoding.EncodeToString(raw)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw}))
	read := func(scan map[string]any, encrypted bool) (*rsa.PublicKey, error) {
		answer, err := json.Marshal(map[string]any{"onboarding": map[string]any{"scan": scan}})
		if err != nil {
			t.Fatal(err)
		}
		return keyring.CameraKey(answer, encrypted)
	}
	for name, scan := range map[string]map[string]any{
		"PEM": {"public_key": text, "ap_list": []any{}}, "DER": {"publicKey": der},
		"PEM, the other name": {"publicKey": text}, "DER, the other name": {"public_key": der},
	} {
		for _, encrypted := range []bool{true, false} {
			if key, err := read(scan, encrypted); err != nil || !key.Equal(own.Public()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	none := map[string]any{"ap_list": []any{}, "wpa3_supported": "true"}
	if key, err := read(none, true); err != nil || key.N.BitLen() != 1024 || key.Equal(own.Public()) {
		t.Errorf("the vendor's key in an encrypted session: %v", err)
	}
	if _, err := read(none, false); !errors.Is(err, failure.ErrNoKey) {
		t.Errorf("without encryption: got %v", err)
	}
}
