package mail

import "crypto/x509"

// Trust has the mailer trust these, as if this machine did.
func (s *SMTP) Trust(roots *x509.CertPool) { s.tls.RootCAs = roots }
