package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/pin"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore/atomicfile"
)

// Certificate is the certificate of all ports of a process, with its key.
type Certificate struct {
	tls tls.Certificate
	// Fingerprint is its SHA-256 in hexadecimal digits.
	Fingerprint string
	// Trusted means that an authority which this machine trusts signed it. Hubs elsewhere then verify it by its name,
	// so that a renewed one is accepted. Any other certificate is pinned by its fingerprint.
	Trusted bool
}

// CertificateFile returns the file of the certificate that OwnCertificate makes.
func CertificateFile(state string) string { return filepath.Join(state, "tls.pem") }

// OwnCertificate returns the certificate in CertificateFile, which is made where there is none. It does not expire (RFC
// 5280, 4.1.2.5): members pin it, and the clock of a router is wrong until it has reached a time server.
func OwnCertificate(state string, log *slog.Logger) (*Certificate, error) {
	path := CertificateFile(state)
	c, err := LoadCertificate(path, log)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	content, err := newCertificate()
	if err == nil {
		err = os.MkdirAll(state, 0o700)
	}
	if err == nil {
		err = atomicfile.Write(path, content, 0o600)
	}
	if err != nil {
		return nil, &home.Error{Op: "make a certificate", Err: err}
	}
	return LoadCertificate(path, log)
}

// newCertificate returns a certificate for the names of this machine, and its key, in PEM.
func newCertificate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "rekeyd"},
		NotBefore:   time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:    time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, name := range machineNames() {
		if !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}),
	), nil
}

// LoadCertificate reads a certificate, its chain and its key from one PEM file. A file that other users can read is
// refused. One that has expired is used, with a warning: a hub that is reached is worth more.
func LoadCertificate(path string, log *slog.Logger) (*Certificate, error) {
	fail := func(err error, hint string) (*Certificate, error) {
		return nil, &home.Error{Op: "read the certificate " + path, Err: err, Hint: hint}
	}
	st, err := os.Stat(path)
	if err != nil {
		return fail(err, "name a file that this user can read with --tls, or have a certificate made with: --tls auto")
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o007 != 0 {
		return fail(errors.New("other users can read its key"), "run: chmod 0600 "+path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail(err, "see that this user may read the file")
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return fail(err, "put the certificate, its chain and its key into this file, in PEM")
	}
	leaf := pair.Leaf
	if now := time.Now(); now.After(leaf.NotAfter) {
		log.Warn("the certificate has expired", "file", path, "at", leaf.NotAfter)
	}
	roots, err := x509.SystemCertPool()
	return &Certificate{
		tls: pair, Fingerprint: pin.Fingerprint(leaf.Raw), Trusted: err == nil && trusted(pair, roots),
	}, nil
}

// trusted reports whether one of the authorities signed a certificate. Its dates do not matter here: an expired one
// would else be pinned, and its renewal refused.
func trusted(pair tls.Certificate, authorities *x509.CertPool) bool {
	chain := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			chain.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: chain, CurrentTime: pair.Leaf.NotBefore.Add(time.Second),
	})
	return err == nil
}

// config returns how the ports use c.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{c.tls}}
}

// url returns a URL of a port: with secure for its scheme and the fingerprint where c is not nil.
func (c *Certificate) url(plain, secure, host string) string {
	if c == nil {
		return plain + "://" + host
	}
	return pin.Add(fmt.Sprintf("%s://%s", secure, host), c.Fingerprint)
}
