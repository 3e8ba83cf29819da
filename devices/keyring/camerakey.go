package keyring

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// vendorKey is the key in every copy of the vendor's app: devices/PROTOCOLS.md, section 10.3. Its private half must be
// taken as known to everybody, so that what it encrypts is as secret as the session around it.
const vendorKey = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4D6i0oD/Ga5qb//RfSe8MrPVIrMIGecCxkcGWGj9kxxk74qQN" +
	"q8XUuXoy2PczQ30BpiRHrlkbtBEPeWLpq85tfubTUjhBz1NPNvWrC88uaYVGvzNpgzZOqDC35961uPTuvdUa8vztcUQjEZy16WbmetRj" +
	"URFIiWJgFCmemyYVbQIDAQAB"

// CameraKey returns the key under which a password is encrypted for a Tapo camera, from its answer to scanApList; raw
// is nil for a camera that answers none. The key is a PEM text, or base64 of the DER, under one of two names
// (devices/PROTOCOLS.md, section 10.3). A camera that gives none has the vendor's, which is enough only in a session
// that is encrypted with the password that the camera holds: failure.ErrNoKey otherwise. Something else in the place of
// a key is home.ErrRefused, and no JSON failure.ErrProtocol.
func CameraKey(raw []byte, encrypted bool) (*rsa.PublicKey, error) {
	var got struct {
		Onboarding struct {
			Scan struct {
				Snake string `json:"public_key"`
				Camel string `json:"publicKey"`
			} `json:"scan"`
		} `json:"onboarding"`
	}
	if len(raw) > 0 && json.Unmarshal(raw, &got) != nil {
		return nil, failure.ErrProtocol
	}
	text := got.Onboarding.Scan.Snake + got.Onboarding.Scan.Camel
	switch {
	case text == "" && !encrypted:
		return nil, failure.ErrNoKey
	case text == "":
		text = vendorKey
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	unfit := fmt.Errorf("%w: its key is none to encrypt a password with", home.ErrRefused)
	if err != nil {
		return nil, unfit
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok || key.N.BitLen() < 1024 || key.N.BitLen() > 4096 {
		return nil, unfit
	}
	return key, nil
}
