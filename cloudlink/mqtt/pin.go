package mqtt

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// PinPrefix begins the fragment of a broker's URL that pins its certificate: mqtts://host:8883#sha256=HEX, the SHA-256
// of the certificate in DER. A pinned broker needs no authority that signed its certificate.
const PinPrefix = "sha256="

var errPin = errors.New("broker: want a fingerprint like mqtts://host:8883#sha256= and 64 hexadecimal digits")

// pinOf returns the fingerprint in a broker's URL; nil where it has none.
func pinOf(u *url.URL) ([]byte, error) {
	if u.Fragment == "" {
		return nil, nil
	}
	digits, ok := strings.CutPrefix(u.Fragment, PinPrefix)
	pin, err := hex.DecodeString(digits)
	if !ok || err != nil || len(pin) != sha256.Size || !slices.Contains([]string{"mqtts", "ssl", "tls", "wss"}, u.Scheme) {
		return nil, errPin
	}
	return pin, nil
}

// errCertificate means that somebody else may be at the broker's address, or that its certificate was renewed.
var errCertificate = errors.New("the broker's certificate is not the pinned one: sign in again if it was renewed")

// pinned accepts the certificate with that fingerprint and no other.
func pinned(pin []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection is stricter: one certificate, whoever signed it
		VerifyConnection: func(s tls.ConnectionState) error {
			if h := sha256.Sum256(s.PeerCertificates[0].Raw); !bytes.Equal(h[:], pin) {
				return errCertificate
			}
			return nil
		},
	}
}
