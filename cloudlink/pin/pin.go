// Package pin ties a URL to one certificate: the fragment #sha256=HEX of a URL is the SHA-256 of the server's
// certificate in DER. A client of such a URL accepts this certificate, whoever signed it, and no other. A fragment
// stays with the client: it is sent to no server.
package pin

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
)

const prefix = "sha256="

// ErrForm is the error of a fragment that is no fingerprint.
var ErrForm = errors.New("want a fingerprint of the form #sha256= and 64 hexadecimal digits, and a URL over TLS")

// ErrOther means that another server is at the address, or that its certificate was replaced.
var ErrOther = errors.New("the certificate is not the pinned one")

// Fingerprint returns the SHA-256 of a certificate in DER, in hexadecimal digits.
func Fingerprint(der []byte) string {
	h := sha256.Sum256(der)
	return hex.EncodeToString(h[:])
}

// Add returns a URL with a fingerprint as its fragment; the URL itself where the fingerprint is empty.
func Add(base, fingerprint string) string {
	if fingerprint == "" {
		return base
	}
	return base + "#" + prefix + fingerprint
}

// Of returns the fingerprint in a URL; nil where it has no fragment. It returns ErrForm for any other fragment, and for
// one of a URL that is not over TLS.
func Of(u *url.URL) ([]byte, error) {
	if u.Fragment == "" {
		return nil, nil
	}
	digits, ok := strings.CutPrefix(u.Fragment, prefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, ErrForm
	}
	switch u.Scheme {
	case "https", "mqtts", "ssl", "tls", "wss":
		return sum, nil
	}
	return nil, ErrForm
}

// Config accepts the certificate with this fingerprint and no other.
func Config(fingerprint []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection is stricter: one certificate, whoever signed it
		VerifyConnection: func(s tls.ConnectionState) error {
			if h := sha256.Sum256(s.PeerCertificates[0].Raw); !bytes.Equal(h[:], fingerprint) {
				return ErrOther
			}
			return nil
		},
	}
}
