package account

import (
	"crypto/x509"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Trust has the mailer trust these, as if this machine did.
func (s *SMTP) Trust(roots *x509.CertPool) { s.tls.RootCAs = roots }

// ListedProtocols returns the protocols that getDeviceList knows.
func ListedProtocols() map[home.Protocol]bool {
	known := map[home.Protocol]bool{}
	for p := range typesOf {
		known[p] = true
	}
	return known
}
